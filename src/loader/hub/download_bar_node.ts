import type { LoadProgress } from "./hub_options.js";

const WIDTH = 20;
/** Milliseconds between drawings. */
const PERIOD = 100;

/**
 * Draws downloads on a terminal (stderr), one line a file, as Python's huggingface_hub does. While several run, the last
 * line is that of all together.
 */
export class DownloadBar {
  readonly #stream: { write(text: string): unknown };
  #drawn = 0;
  readonly #running = new Map<string, { loaded: number; total: number }>();

  constructor(stream: { write(text: string): unknown }) {
    this.#stream = stream;
  }

  /** A bar where a terminal shows it, and HF_HUB_DISABLE_PROGRESS_BARS does not forbid it; else null. */
  static forTerminal(): DownloadBar | null {
    const off = /^(1|on|yes|true)$/i.test(process.env.HF_HUB_DISABLE_PROGRESS_BARS ?? "");
    return process.stderr.isTTY && !off ? new DownloadBar(process.stderr) : null;
  }

  report({ status, file, loaded, total }: LoadProgress, now = performance.now()): void {
    if (status !== "progress" || total === 0) return; // files that come from the cache need no line
    const running = this.#running;
    running.set(file, { loaded, total });
    if (loaded >= total) {
      running.delete(file);
      this.#draw(file, loaded, total, "\n");
    } else if (now - this.#drawn >= PERIOD) {
      this.#drawn = now;
      if (running.size === 1) return this.#draw(file, loaded, total);
      const sum = (key: "loaded" | "total"): number => [...running.values()].reduce((bytes, of) => bytes + of[key], 0);
      this.#draw(`${running.size} files`, sum("loaded"), sum("total"));
    }
  }

  #draw(name: string, loaded: number, total: number, end = ""): void {
    const part = loaded / total;
    const bar = "█".repeat(Math.round(part * WIDTH)).padEnd(WIDTH);
    const percent = String(Math.floor(100 * part)).padStart(3);
    this.#stream.write(`\r${name}: ${percent}%|${bar}| ${bytes(loaded)}/${bytes(total)}\x1b[K${end}`);
  }
}

function bytes(count: number): string {
  const unit = count < 1e3 ? 0 : count < 1e6 ? 1 : count < 1e9 ? 2 : 3;
  return unit === 0 ? `${count}B` : `${(count / 1000 ** unit).toFixed(1)}${["", "k", "M", "G"][unit]}B`;
}
