"use client";

import { useConflicts, useTask } from "doable-client/react";
import { useEffect, useRef } from "react";

/** Asks what to keep if two devices have changed the same field of a task. */
export function ConflictDialog() {
  const [conflict] = useConflicts();
  const dialog = useRef<HTMLDialogElement>(null);
  const task = useTask(conflict?.uid ?? "");
  useEffect(() => {
    if (conflict) dialog.current?.showModal();
    else dialog.current?.close();
  }, [conflict]);
  if (!conflict) return null;
  const { field, mine, theirs, keep } = conflict;
  return (
    <dialog ref={dialog} onCancel={(event) => event.preventDefault()}>
      <h2>Two versions of “{task?.title}”</h2>
      <p>Another device has changed the {field.replace("_", " ")} too. Which one do you keep?</p>
      <button className="primary" onClick={() => keep(mine)}>Mine: {String(mine)}</button>
      <button onClick={() => keep(theirs)}>Theirs: {String(theirs)}</button>
    </dialog>
  );
}
