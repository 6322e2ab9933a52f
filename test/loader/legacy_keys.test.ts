import { expect, test } from "vitest";
import { isIgnoredKey, mapAttentionKey, mapCLIPKey, mapKey } from "../../src/loader/legacy_keys.js";

test("old attention blocks get today's names", () => {
  const pairs = [
    ["decoder.mid_block.attentions.0.query.weight", "decoder.mid_block.attentions.0.to_q.weight"],
    ["encoder.mid_block.attentions.0.key.bias", "encoder.mid_block.attentions.0.to_k.bias"],
    ["down_blocks.1.attentions.1.value.weight", "down_blocks.1.attentions.1.to_v.weight"],
    ["up_blocks.2.attentions.0.proj_attn.bias", "up_blocks.2.attentions.0.to_out.0.bias"],
    ["attentions.0.query.bias", "attentions.0.to_q.bias"],
  ];
  for (const [old, now] of pairs) {
    expect(mapAttentionKey(old)).toBe(now);
    expect(mapKey(old)).toBe(now);
    expect(mapKey(now)).toBe(now);
  }
});

test("keys that only look alike are left alone", () => {
  const keys = [
    "mid_block.attentions.0.group_norm.weight",
    "mid_block.attentions.0.to_q.weight",
    "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight",
    "attention.query.weight",
    "attentions.0.query_norm.weight",
    "my_attentions.0.query.weight",
    "attentions.x.query.weight",
    "attentions.0.query.weight.extra",
    "encoder.layers.0.weight", // AutoencoderTiny
    "encoder.layers.3.conv.0.bias",
    "encoder.down_blocks.0.resnets.0.norm1.weight",
    "text_projection.weight",
    "position_ids",
  ];
  for (const key of keys) expect(mapKey(key)).toBe(key);
});

test("bare keys of a CLIP text encoder get the prefix", () => {
  const bare = [
    "embeddings.token_embedding.weight",
    "embeddings.position_embedding.weight",
    "encoder.layers.11.self_attn.q_proj.weight",
    "encoder.layers.0.mlp.fc1.bias",
    "encoder.layers.0.layer_norm2.weight",
    "final_layer_norm.bias",
  ];
  for (const key of bare) {
    expect(mapCLIPKey(key)).toBe(`text_model.${key}`);
    expect(mapKey(`text_model.${key}`)).toBe(`text_model.${key}`);
  }
});

test("position_ids and the second name of NCSN++'s frequencies are left out", () => {
  expect([mapKey("time_proj.W"), mapKey("time_proj.weight")]).toEqual([null, "time_proj.weight"]);
  for (const key of ["text_model.embeddings.position_ids", "embeddings.position_ids"]) {
    expect(isIgnoredKey(key)).toBe(true);
    expect(mapKey(key)).toBeNull();
  }
  expect(isIgnoredKey("text_model.embeddings.position_embedding.weight")).toBe(false);
});
