// Doable on the server, where each request has its own user: create a client for each request.
import { createDoable } from "doable-client";
import { auth } from "./auth";

/** Returns what the first paint shows, or undefined if Doable is unavailable: the browser has its own copy. */
export async function readFirst(headers: Headers) {
  const doable = createDoable({
    url: process.env.DOABLE_URL ?? process.env.NEXT_PUBLIC_DOABLE_URL ?? "http://localhost:8000",
    token: async () => (await auth.api.getToken({ headers })).token,
    retries: 1,
    timeout: 5000,
  });
  try {
    const [tasks, lists] = await Promise.all([doable.tasks.list({ limit: 100 }), doable.lists.list()]);
    return { tasks, lists };
  } catch (error) {
    console.error("The first paint has no tasks:", error);
  }
}
