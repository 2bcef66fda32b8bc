"use client";

import { createContext, createElement, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
import { createStore } from "./react-store.js";

/** @import { ReactElement, ReactNode } from "react" */
/** @import { Doable } from "./client.js" */
/** @import { Initial, Store } from "./react-store.js" */
/** @import { Conflict } from "./replica/merge.js" */
/** @import { Storage } from "./replica/storage.js" */

/** @typedef {import("./react-store.js").OpenConflict} OpenConflict */
/** @typedef {import("./react-store.js").SyncStatus} SyncStatus */
/** @typedef {import("./replica/query.js").TaskQuery} TaskQuery */
/** @typedef {import("./replica/replica.js").LocalList} LocalList */
/** @typedef {import("./replica/replica.js").LocalTask} LocalTask */
/** @typedef {import("./replica/replica.js").Refused} Refused */
/** @typedef {import("./replica/replica.js").Replica} Replica */
/**
 * @typedef {object} ProviderProps
 * @property {Doable} doable create it once, outside of components
 * @property {Initial} [initial] what the server has read for the first paint. It is shown until the copy is up to date
 * @property {"ask" | ((conflict: Conflict) => unknown)} [onConflict] returns the value to keep, or a promise of it. "ask":
 *   `useConflicts` has the conflicts, and the user decides. By default, `mine` is kept
 * @property {(refused: Refused) => void} [onRejected] is called for each write that the service has refused
 * @property {Storage} [storage] by default IndexedDB
 * @property {ReactNode} [children]
 */

const Context = createContext(/** @type {Store | null} */ (null));
const NONE = /** @type {readonly any[]} */ ([]);

/**
 * Opens the signed-in user's copy, and keeps it open while it is mounted. On the server, it shows `initial` only.
 *
 * @param {ProviderProps} props
 * @returns {ReactElement}
 */
export function DoableProvider({ doable, initial, storage, children, ...handlers }) {
  // Another client may be that of another user, who must not see the first rows of this one.
  const store = useMemo(() => createStore(initial), [doable]);
  const latest = useRef(handlers);
  useEffect(() => { latest.current = handlers; });
  useEffect(() => store.open(doable, storage, latest), [store, doable, storage]);
  return createElement(Context.Provider, { value: store }, children);
}

/** @returns {Store} */
function useStore() {
  const store = useContext(Context);
  if (!store) throw new Error("The hooks of doable-client/react need a DoableProvider above them.");
  return store;
}

/**
 * @template T
 * @param {(store: Store) => T} read returns the same value until it changes
 * @param {(store: Store) => T} readFirst the same, for the server and the first paint
 * @returns {T}
 */
function useValue(read, readFirst) {
  const store = useStore();
  return useSyncExternalStore(store.subscribe, () => read(store), () => readFirst(store));
}

/**
 * Returns the tasks that match. The array is the same until the result changes.
 *
 * @param {TaskQuery} [query]
 * @returns {readonly LocalTask[]}
 */
export function useTasks(query = {}) {
  // The copy keeps the results of a limited number of queries. With more of them on a page, equal results must stay the
  // same array nevertheless, or React would never finish.
  const last = useRef(/** @type {readonly LocalTask[]} */ (NONE));
  /** @param {readonly LocalTask[]} tasks */
  const steady = (tasks) => {
    const { current } = last;
    if (tasks.length !== current.length || tasks.some((task, at) => task !== current[at])) last.current = tasks;
    return last.current;
  };
  return useValue((store) => steady(store.rows.tasks(query)), (store) => steady(store.first.tasks(query)));
}

/**
 * Returns a task. The object is the same until the task changes.
 *
 * @param {string} uid
 * @returns {LocalTask | undefined} undefined if there is none, or not yet
 */
export function useTask(uid) {
  return useValue((store) => store.rows.task(uid), (store) => store.first.task(uid));
}

/**
 * Returns all lists in their manual order.
 *
 * @returns {readonly LocalList[]}
 */
export function useLists() {
  return useValue((store) => store.rows.lists(), (store) => store.first.lists());
}

/**
 * Returns whether the copy is open, connected and complete, and what waits for the service.
 *
 * @returns {SyncStatus}
 */
export function useSyncStatus() {
  return useValue((store) => store.status, (store) => store.firstStatus);
}

/**
 * Returns the conflicts that the user must decide, the oldest first, if the provider has `onConflict="ask"`. They are in
 * the tab that sends.
 *
 * @returns {readonly OpenConflict[]}
 */
export function useConflicts() {
  return useValue((store) => store.conflicts, () => NONE);
}

/**
 * Returns the copy, to write to it.
 *
 * @returns {Replica | undefined} undefined on the server, and until the copy is open
 */
export function useReplica() {
  return useValue((store) => store.replica, () => undefined);
}
