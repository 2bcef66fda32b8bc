"use client";

import { useReplica, useTask } from "doable-client/react";
import { memo, useState } from "react";

export const Row = memo(function Row({ uid, remove }: { uid: string; remove: () => void }) {
  const task = useTask(uid);
  const replica = useReplica();
  const [isEdited, setEdited] = useState(false);
  if (!task) return null;

  function save(value: string) {
    const title = value.trim();
    setEdited(false);
    if (title && replica?.task(uid)) replica.update(uid, { title });
  }

  return (
    <li className={task.completed ? "done" : undefined}>
      <input type="checkbox" aria-label={`Complete ${task.title}`} checked={task.completed} disabled={!replica}
        onChange={() => (task.completed ? replica?.reopen(uid) : replica?.complete(uid))} />
      {isEdited ? (
        <input className="title" aria-label="Title" defaultValue={task.title} maxLength={200} autoFocus
          onBlur={({ target }) => save(target.value)}
          onKeyDown={({ key, currentTarget }) => {
            if (key === "Enter") currentTarget.blur();
            if (key === "Escape") setEdited(false);
          }} />
      ) : (
        <button className="title" disabled={!replica} onClick={() => setEdited(true)}>{task.title}</button>
      )}
      <button className="quiet" aria-label={`Delete ${task.title}`} disabled={!replica} onClick={remove}>×</button>
    </li>
  );
});
