import { authClient } from "./auth-client.js";

const doableURL = process.env.NEXT_PUBLIC_DOABLE_URL;
// code
console.log("done");
