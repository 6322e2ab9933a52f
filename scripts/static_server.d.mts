export interface StaticServerOptions {
  /** The folder to serve. */
  root: string;
  /** 0, the default, takes a free port. */
  port?: number | string;
  /** Files that exist in memory only: URL path -> contents. They come before the files of `root`. */
  virtual?: Map<string, string | Uint8Array>;
}
export function startStaticServer(
  options: StaticServerOptions,
): Promise<{ origin: string; close: () => Promise<void> }>;
