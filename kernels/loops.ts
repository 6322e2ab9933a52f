/**
 * Loops around text that would otherwise be repeated for each of several registers. llvmpipe compiles every load and store of four numbers
 * for some 20 ms, as many as there are in the text: what runs once per thread is better a loop there, though it then has to
 * choose its register.
 */

/** The length of a loop that a compiler shall not unroll: it cannot know that `never` is false. */
export const unknown = (length: number, never: string): string => `select(${length}u, 0u, ${never})`;

/** The variable of that number, an expression. */
export const chosen = (variables: readonly string[], number: string): string =>
  variables.reduce((others, variable, i) => `select(${others}, ${variable}, ${number} == ${i}u)`);
