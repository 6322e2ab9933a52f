/** numpy.random.SeedSequence: well-mixed 32-bit seeds from a number and a key (O'Neill 2015, "Developing a seed_seq alternative"). */

const mul = Math.imul;

/** The 32-bit words of a number, the lowest first. */
function words(value: number | bigint): number[] {
  let rest = BigInt(value);
  const result: number[] = [];
  do {
    result.push(Number(rest & 0xffffffffn));
    rest >>= 32n;
  } while (rest > 0n);
  return result;
}

/**
 * `SeedSequence(entropy, spawn_key=key, pool_size=poolSize).generate_state(count)`.
 * @param entropy a whole number from 0
 */
export function generateState(entropy: number | bigint, key: readonly number[], count: number, poolSize = 4): number[] {
  const input = words(entropy);
  if (key.length > 0) while (input.length < poolSize) input.push(0);
  input.push(...key.flatMap(words));

  let constant = 0x43b0d7e5;
  const hash = (value: number): number => {
    const mixed = value ^ constant;
    constant = mul(constant, 0x931e8875);
    const product = mul(mixed, constant);
    return product ^ (product >>> 16);
  };
  const mix = (x: number, y: number): number => {
    const difference = (mul(0xca01f9dd, x) - mul(0x4973f715, y)) | 0;
    return difference ^ (difference >>> 16);
  };
  const pool = Array.from({ length: poolSize }, (_, i) => hash(input[i] ?? 0));
  for (let from = 0; from < poolSize; from++)
    for (let to = 0; to < poolSize; to++) if (from !== to) pool[to] = mix(pool[to], hash(pool[from]));
  for (let from = poolSize; from < input.length; from++)
    for (let to = 0; to < poolSize; to++) pool[to] = mix(pool[to], hash(input[from]));

  let output = 0x8b51f9dd;
  return Array.from({ length: count }, (_, i) => {
    const mixed = pool[i % poolSize] ^ output;
    output = mul(output, 0x58f38ded);
    const product = mul(mixed, output);
    return (product ^ (product >>> 16)) >>> 0;
  });
}
