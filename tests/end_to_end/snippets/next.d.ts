declare module "next/headers" {
  export function headers(): Promise<Headers>;
}
