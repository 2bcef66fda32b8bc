"use client";

import { doable } from "@/lib/doable";
import { DoableProvider, type ProviderProps, useReplica, useSyncStatus, useTasks } from "doable-client/react";
import { useEffect, useState } from "react";
import { ConflictDialog } from "./conflict-dialog";
import { Row } from "./row";
import { SignOut } from "./sign-out";
import { SyncBadge } from "./sync-badge";

type Notice = { text: string; undo?: () => void };

export function Board({ name, initial }: { name: string } & Pick<ProviderProps, "initial">) {
  const [notice, setNotice] = useState<Notice>();
  return (
    <DoableProvider doable={doable} initial={initial} onConflict="ask" onRejected={({ error }) => setNotice({ text: error.message })}>
      <header>
        <h1>{name}’s tasks</h1>
        <SyncBadge />
        <SignOut />
      </header>
      <Tasks notify={setNotice} />
      <ConflictDialog />
      <SignedOut />
      {notice && <NoticeBar {...notice} close={() => setNotice(undefined)} />}
    </DoableProvider>
  );
}

function Tasks({ notify }: { notify: (notice: Notice) => void }) {
  const [all, setAll] = useState(false);
  const tasks = useTasks(all ? {} : { completed: false });
  const replica = useReplica();
  const { open } = useSyncStatus();

  function add(form: FormData) {
    const title = String(form.get("title")).trim();
    if (title) replica?.create({ title });
  }

  return (
    <main>
      <form action={add} className="add">
        <input name="title" aria-label="New task" placeholder="What is to be done?" maxLength={200} autoComplete="off" />
        <button className="primary" disabled={!open}>Add</button>
      </form>
      <ul>
        {tasks.map(({ uid, title }) => (
          <Row key={uid} uid={uid} remove={() => {
            replica?.remove(uid);
            notify({ text: `“${title}” is in the trash.`, undo: () => replica?.restore(uid) });
          }} />
        ))}
      </ul>
      {tasks.length === 0 && <p className="empty">Nothing to do.</p>}
      <label className="filter"><input type="checkbox" checked={all} onChange={() => setAll(!all)} /> Show completed tasks</label>
    </main>
  );
}

function NoticeBar({ text, undo, close }: Notice & { close: () => void }) {
  return (
    <div className="notice" role="status">
      <span>{text}</span>
      {undo && <button onClick={() => { undo(); close(); }}>Undo</button>}
      <button onClick={close} aria-label="Close">×</button>
    </div>
  );
}

/** Leaves the page in every tab once the user is signed out. */
function SignedOut() {
  const isOver = useSyncStatus().problem?.name === "SignedOutError";
  useEffect(() => {
    if (isOver) location.assign("/sign-in");
  }, [isOver]);
  return null;
}
