/**
 * Loops around text that would otherwise be repeated for each of several registers. llvmpipe compiles every load and store of four
 * numbers for some 20 ms, as many as there are in the text: what runs once per thread is better a loop there, though it then has
 * to choose its register.
 */

/** The length of a loop, hidden from the compiler, which would unroll it: it cannot know that `never` is false. */
export const hidden = (length: number, never: string): string => `select(${length}u, 0u, ${never})`;

/** The variable of that number, an expression. */
export const chosen = (variables: readonly string[], number: string): string =>
  variables.reduce((others, variable, i) => `select(${others}, ${variable}, ${number} == ${i}u)`);

/** Sets the variable of that number. */
export const assigned = (variables: readonly string[], number: string, value: string): string =>
  variables.map((variable, i) => `${variable} = select(${variable}, ${value}, ${number} == ${i}u);`).join(" ");

/** Declares variables of four numbers. */
export const declared = (variables: readonly string[]): string =>
  variables.map((variable) => `var ${variable} = vec4f();`).join(" ");
