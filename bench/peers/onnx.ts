/** Writes ONNX models (onnx.proto, IR version 8) as bytes; as much of the format as one-op models need. */

export interface OnnxTensor {
  name: string;
  shape: readonly number[];
  values: Float32Array | BigInt64Array;
}

/** Integers become ints (attributes that are floats are given as `{ float }`). */
export type Attribute = number | readonly number[] | { float: number };

export interface OnnxNode {
  op: string;
  inputs: readonly string[];
  outputs: readonly string[];
  attributes?: Record<string, Attribute>;
  /** The standard's operators unless told. */
  domain?: string;
}

export interface OnnxValue {
  name: string;
  shape: readonly number[];
}

export interface OnnxModel {
  nodes: readonly OnnxNode[];
  /** float32 */
  inputs: readonly OnnxValue[];
  outputs: readonly OnnxValue[];
  /** Weights. */
  initializers: readonly OnnxTensor[];
}

const IR_VERSION = 8;
/** LayerNormalization came with 17. */
const OPSET = 17;
const FLOAT = 1;
const INT64 = 7;
const ATTRIBUTE_TYPE = { float: 1, int: 2, ints: 7 };

/** Protocol buffers: a field's number and wire type as one varint, then its value. */
const tag = (field: number, wire: number): number[] => varint(field * 8 + wire);

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 128; value = Math.floor(value / 128)) bytes.push((value % 128) + 128);
  return [...bytes, value];
}

type Bytes = Uint8Array;

function join(parts: readonly (Bytes | number[])[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

const integer = (field: number, value: number): Bytes => join([tag(field, 0), varint(value)]);
const bytes = (field: number, value: Bytes): Bytes => join([tag(field, 2), varint(value.length), value]);
const text = (field: number, value: string): Bytes => bytes(field, new TextEncoder().encode(value));
const message = (field: number, ...parts: Bytes[]): Bytes => bytes(field, join(parts));
const float = (field: number, value: number): Bytes =>
  join([tag(field, 5), new Uint8Array(new Float32Array([value]).buffer)]);

function attribute(name: string, value: Attribute): Bytes {
  const head = text(1, name);
  if (typeof value === "number") return join([head, integer(3, value), integer(20, ATTRIBUTE_TYPE.int)]);
  if ("float" in value) return join([head, float(2, value.float), integer(20, ATTRIBUTE_TYPE.float)]);
  return join([head, ...value.map((item) => integer(8, item)), integer(20, ATTRIBUTE_TYPE.ints)]);
}

const node = ({ op, inputs, outputs, attributes = {}, domain }: OnnxNode): Bytes =>
  join([
    ...inputs.map((name) => text(1, name)),
    ...outputs.map((name) => text(2, name)),
    text(4, op),
    ...Object.entries(attributes).map(([name, value]) => bytes(5, attribute(name, value))),
    ...(domain === undefined ? [] : [text(7, domain)]),
  ]);

function tensor({ name, shape, values }: OnnxTensor): Bytes {
  const dims = shape.map((size) => integer(1, size));
  const raw = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return join([...dims, integer(2, values instanceof Float32Array ? FLOAT : INT64), text(8, name), bytes(9, raw)]);
}

const valueInfo = ({ name, shape }: OnnxValue): Bytes => {
  const dims = message(2, ...shape.map((size) => message(1, integer(1, size))));
  return join([text(1, name), message(2, message(1, integer(1, FLOAT), dims))]);
};

const opset = (domain: string, version: number): Bytes => message(8, text(1, domain), integer(2, version));

/** The bytes of a .onnx file. */
export function encodeModel({ nodes, inputs, outputs, initializers }: OnnxModel): Uint8Array {
  const domains = new Set(nodes.flatMap(({ domain }) => domain ?? []));
  return join([
    integer(1, IR_VERSION),
    message(
      7,
      ...nodes.map((item) => bytes(1, node(item))),
      text(2, "g"),
      ...initializers.map((item) => bytes(5, tensor(item))),
      ...inputs.map((item) => bytes(11, valueInfo(item))),
      ...outputs.map((item) => bytes(12, valueInfo(item))),
    ),
    opset("", OPSET),
    ...[...domains].map((domain) => opset(domain, 1)),
  ]);
}
