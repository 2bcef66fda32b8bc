import { Board } from "@/components/board";
import { auth } from "@/lib/auth";
import { readFirst } from "@/lib/first-paint";
import { headers } from "next/headers";
import { redirect } from "next/navigation";

export default async function Page() {
  const sent = await headers();
  const session = await auth.api.getSession({ headers: sent });
  if (!session) redirect("/sign-in");
  return <Board name={session.user.name} initial={await readFirst(sent)} />;
}
