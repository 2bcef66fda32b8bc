"""The tasks API as a FastAPI expert would write it: SQLModel on psycopg2, handlers in threads.

A connection is held inside a handler's thread alone, so that none waits, full-handed, for a thread to go on in.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Query
from sqlalchemy import DateTime, Index
from sqlmodel import Field, Session, SQLModel, create_engine, select

SECRET = os.environ["SECRET"]

engine = create_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+psycopg2://", 1),
    pool_size=int(os.environ["POOL_SIZE"]),
    max_overflow=0,
)


def now() -> datetime:
    """The moment, aware of its time zone."""
    return datetime.now(timezone.utc)


class TaskBase(SQLModel):
    """What a client may say of a task."""

    title: str = Field(min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)


class Task(TaskBase, table=True):
    """A row."""

    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_user_id", "user_id", "id"),)

    id: int | None = Field(default=None, primary_key=True)
    user_id: str
    completed: bool = False
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class TaskRead(TaskBase):
    """What a client reads."""

    id: int
    user_id: str
    completed: bool
    created_at: datetime
    updated_at: datetime


class TaskUpdate(SQLModel):
    """What a client may change."""

    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = Field(default=None, max_length=1000)
    completed: bool | None = None


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the table."""
    SQLModel.metadata.create_all(engine)
    yield
    engine.dispose()


async def owner(user_id: str, authorization: Annotated[str, Header()]) -> str:
    """The path's user, who must be the token's."""
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Invalid token.") from None
    if claims["sub"] != user_id:
        raise HTTPException(403, "Not yours.")
    return user_id


def open_session() -> Session:
    """A session for one request."""
    return Session(engine, expire_on_commit=False)


Owner = Annotated[str, Depends(owner)]

app = FastAPI(lifespan=lifespan, openapi_url=None)


def find(session: Session, user_id: str, task_id: int) -> Task:
    """The owner's task. Raises 404."""
    task = session.exec(select(Task).where(Task.user_id == user_id, Task.id == task_id)).first()
    if task is None:
        raise HTTPException(404, "No such task.")
    return task


@app.get("/api/{user_id}/tasks", response_model=list[TaskRead])
def read_tasks(user_id: Owner, limit: Annotated[int | None, Query(ge=1, le=1000)] = None) -> object:
    """The list, or its first `limit` tasks."""
    with open_session() as session:
        query = select(Task).where(Task.user_id == user_id).order_by(Task.id.desc()).limit(limit)
        return session.exec(query).all()


@app.post("/api/{user_id}/tasks", response_model=TaskRead, status_code=201)
def create_task(user_id: Owner, body: TaskBase) -> object:
    """A new task."""
    with open_session() as session:
        task = Task(title=body.title, description=body.description, user_id=user_id)
        session.add(task)
        session.commit()
        return task


@app.get("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
def read_task(user_id: Owner, task_id: int) -> object:
    """One task."""
    with open_session() as session:
        return find(session, user_id, task_id)


@app.patch("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
def update_task(user_id: Owner, task_id: int, body: TaskUpdate) -> object:
    """One task with what is sent."""
    with open_session() as session:
        task = find(session, user_id, task_id)
        task.sqlmodel_update(body.model_dump(exclude_unset=True), update={"updated_at": now()})
        session.commit()
        return task


@app.patch("/api/{user_id}/tasks/{task_id}/complete", response_model=TaskRead)
def toggle_task(user_id: Owner, task_id: int) -> object:
    """One task, turned round."""
    with open_session() as session:
        task = find(session, user_id, task_id)
        task.completed = not task.completed
        task.updated_at = now()
        session.commit()
        return task
