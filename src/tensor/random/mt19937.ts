const N = 624;
const M = 397;

/** Mersenne Twister of 32 bits (Matsumoto & Nishimura 1998, mt19937ar.c, init_genrand): torch's CPU generator. */
export class MT19937 {
  readonly #words = new Uint32Array(N);
  #index = N;

  /** @param seed its low 32 bits count, as in torch */
  seed(seed: number): void {
    const words = this.#words;
    words[0] = seed;
    for (let i = 1; i < N; i++) words[i] = Math.imul(1812433253, words[i - 1] ^ (words[i - 1] >>> 30)) + i;
    this.#index = N;
  }

  /** The next 32 random bits, unsigned. */
  next(): number {
    if (this.#index === N) this.#twist();
    let y = this.#words[this.#index++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const words = this.#words;
    for (let k = 0; k < N; k++) {
      const y = (words[k] & 0x80000000) | (words[k + 1 < N ? k + 1 : 0] & 0x7fffffff);
      words[k] = words[k + M < N ? k + M : k + M - N] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#index = 0;
  }

  /** 625 words: the state and the index of the next one. */
  getState(): Uint32Array {
    const state = new Uint32Array(N + 1);
    state.set(this.#words);
    state[N] = this.#index;
    return state;
  }

  setState(state: Uint32Array): void {
    this.#words.set(state.subarray(0, N));
    this.#index = state[N];
  }
}
