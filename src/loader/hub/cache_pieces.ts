/** A browser's persistent cache of the hub's files: the Cache API, with files cut into pieces. */

export const PIECE_BYTES = 8 << 20;

const NAME = "webgpu-diffusers";
/** Entries need addresses; nothing is ever fetched from this one. */
const BASE = "https://webgpu-diffusers.invalid";

export class PieceCache {
  readonly #cache: Cache;

  private constructor(cache: Cache) {
    this.#cache = cache;
  }

  /** null where pages keep nothing: no secure context, private windows of some browsers. */
  static async open(storage: CacheStorage | undefined): Promise<PieceCache | null> {
    const cache = await storage?.open(NAME).catch(() => null);
    return cache ? new PieceCache(cache) : null;
  }

  /** A small JSON value by its key; null if there is none. */
  async readNote(key: string): Promise<unknown> {
    const found = await this.#cache.match(`${BASE}/note/${encodeURIComponent(key)}`);
    return found ? found.json().catch(() => null) : null;
  }

  async writeNote(key: string, value: unknown): Promise<void> {
    await this.#cache.put(`${BASE}/note/${encodeURIComponent(key)}`, Response.json(value));
  }

  async deleteNote(key: string): Promise<void> {
    await this.#cache.delete(`${BASE}/note/${encodeURIComponent(key)}`);
  }

  /** The keys of all notes. */
  async noteKeys(): Promise<string[]> {
    const start = `${BASE}/note/`;
    const urls = (await this.#cache.keys()).map(({ url }) => url).filter((url) => url.startsWith(start));
    return urls.map((url) => decodeURIComponent(url.slice(start.length)));
  }

  /** One piece of the file with this hash; null if it is not kept. */
  async readPiece(hash: string, index: number): Promise<Blob | null> {
    const found = await this.#cache.match(`${BASE}/piece/${hash}/${index}`);
    return found ? found.blob() : null;
  }

  /** Pieces appear whole or not at all. Throws a DOMException when the browser's quota is used up. */
  async writePiece(hash: string, index: number, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
    await this.#cache.put(`${BASE}/piece/${hash}/${index}`, new Response(bytes));
  }

  async deletePieces(hash: string, count: number): Promise<void> {
    for (let index = 0; index < count; index++) await this.#cache.delete(`${BASE}/piece/${hash}/${index}`);
  }
}
