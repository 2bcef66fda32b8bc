"""The tasks API as a FastAPI expert would write it: SQLModel on asyncpg, an asynchronous session for each request."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, Header, HTTPException, Query
from sqlalchemy import DateTime, Index
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

SECRET = os.environ["SECRET"]

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://", 1),
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
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    yield
    await engine.dispose()


async def owner(user_id: str, authorization: Annotated[str, Header()]) -> str:
    """The path's user, who must be the token's."""
    try:
        claims = jwt.decode(authorization.removeprefix("Bearer "), SECRET, algorithms=["HS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "Invalid token.") from None
    if claims["sub"] != user_id:
        raise HTTPException(403, "Not yours.")
    return user_id


async def open_session() -> AsyncIterator[AsyncSession]:
    """A session for one request; its connection goes back before the answer is sent."""
    async with AsyncSession(engine, expire_on_commit=False) as session:
        yield session


Owner = Annotated[str, Depends(owner)]
Session = Annotated[AsyncSession, Depends(open_session, scope="function")]

app = FastAPI(lifespan=lifespan, openapi_url=None)


async def find(session: AsyncSession, user_id: str, task_id: int) -> Task:
    """The owner's task. Raises 404."""
    task = (await session.exec(select(Task).where(Task.user_id == user_id, Task.id == task_id))).first()
    if task is None:
        raise HTTPException(404, "No such task.")
    return task


@app.get("/api/{user_id}/tasks", response_model=list[TaskRead])
async def read_tasks(
    user_id: Owner, session: Session, limit: Annotated[int | None, Query(ge=1, le=1000)] = None
) -> object:
    """The list, or its first `limit` tasks."""
    query = select(Task).where(Task.user_id == user_id).order_by(Task.id.desc()).limit(limit)
    return (await session.exec(query)).all()


@app.post("/api/{user_id}/tasks", response_model=TaskRead, status_code=201)
async def create_task(user_id: Owner, session: Session, body: TaskBase) -> object:
    """A new task."""
    task = Task(title=body.title, description=body.description, user_id=user_id)
    session.add(task)
    await session.commit()
    return task


@app.get("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
async def read_task(user_id: Owner, session: Session, task_id: int) -> object:
    """One task."""
    return await find(session, user_id, task_id)


@app.patch("/api/{user_id}/tasks/{task_id}", response_model=TaskRead)
async def update_task(user_id: Owner, session: Session, task_id: int, body: TaskUpdate) -> object:
    """One task with what is sent."""
    task = await find(session, user_id, task_id)
    task.sqlmodel_update(body.model_dump(exclude_unset=True), update={"updated_at": now()})
    await session.commit()
    return task


@app.patch("/api/{user_id}/tasks/{task_id}/complete", response_model=TaskRead)
async def toggle_task(user_id: Owner, session: Session, task_id: int) -> object:
    """One task, turned round."""
    task = await find(session, user_id, task_id)
    task.completed = not task.completed
    task.updated_at = now()
    await session.commit()
    return task
