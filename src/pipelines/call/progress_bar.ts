/** A progress bar on a terminal (stderr), nothing elsewhere; as diffusers' tqdm bar. */
export interface ProgressBarConfig {
  /** No bar even on a terminal. */
  disable?: boolean;
  /** Text before the bar. */
  desc?: string;
}

const WIDTH = 30;

export class ProgressBar {
  readonly #total: number;
  readonly #desc: string;
  readonly #stream: { write(text: string): unknown } | null;
  readonly #start = performance.now();
  #done = 0;

  constructor(total: number, { disable = false, desc = "" }: ProgressBarConfig = {}) {
    const stream = typeof process !== "undefined" ? process.stderr : undefined;
    this.#stream = !disable && stream?.isTTY ? stream : null;
    this.#total = total;
    this.#desc = desc ? `${desc}: ` : "";
    this.#draw();
  }

  update(): void {
    this.#done++;
    this.#draw();
  }

  close(): void {
    this.#stream?.write("\n");
  }

  #draw(): void {
    if (!this.#stream) return;
    const part = Math.min(1, this.#done / this.#total);
    const bar = "█".repeat(Math.round(part * WIDTH)).padEnd(WIDTH);
    const seconds = (performance.now() - this.#start) / 1000;
    const rate = this.#done > 0 ? `${(this.#done / seconds).toFixed(2)}it/s` : "?it/s";
    const text = `${Math.round(100 * part)}%|${bar}| ${this.#done}/${this.#total} [${seconds.toFixed(1)}s, ${rate}]`;
    this.#stream.write(`\r${this.#desc}${text}\x1b[K`);
  }
}
