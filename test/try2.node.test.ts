import { test } from "vitest";
import { Tensor, requestDevice } from "../src/index.js";
import { conv2d } from "../src/tensor/ops/conv2d.js";
import { matmul } from "../src/tensor/ops/matmul.js";
test("tiles", async () => {
  const device = await requestDevice();
  const rnd = (s: number[]) => Tensor.from(new Float32Array(s.reduce((a, b) => a * b)).map(() => Math.random() - .5), s);
  const time = async (f: () => any) => { const r = []; f().dispose(); await device.synchronize(); for (let k = 0; k < 5; k++) { const t = performance.now(); for (let i = 0; i < 4; i++) f().dispose(); await device.synchronize(); r.push((performance.now() - t) / 4); } return r.sort((a, b) => a - b)[0]; };
  for (const [h, c] of [[16, 32], [8, 64], [4, 96], ]) {
    const x = rnd([2, h, h, c]), w = rnd([3, 3, c, c]), b = rnd([c]);
    let out = `conv ${h} ${c}: `;
    for (const tile of [{tileM:2,tileN4:2},{tileM:4,tileN4:1},{tileM:4,tileN4:2},{tileM:8,tileN4:2},{tileM:8,tileN4:1},{tileM:4,tileN4:2,flat:false},{tileM:8,tileN4:2,flat:false}]) { const ms = await time(() => conv2d(x, w, b, { padding: 1, tile })); out += `${tile.tileM}x${tile.tileN4}${(tile as any).flat===false?"sq":""} ${ms.toFixed(2)}ms ${(2*2*h*h*c*c*9/ms/1e6).toFixed(2)}  `; }
    console.log(out);
  }
  for (const [m, n, k] of [[512, 32, 32], [128, 64, 64], [128, 512, 64],[128,64,256], [1024,320,320]]) {
    const x = rnd([m, k]), w = rnd([k, n]);
    let out = `mm ${m} ${n} ${k}: `;
    for (const tile of [{tileM:2,tileN4:2},{tileM:4,tileN4:1},{tileM:4,tileN4:2},{tileM:8,tileN4:2},{tileM:8,tileN4:1},{tileM:4,tileN4:2,flat:false},{tileM:8,tileN4:2,flat:false}]) { const ms = await time(() => matmul(x, w, { tile })); out += `${tile.tileM}x${tile.tileN4}${(tile as any).flat===false?"sq":""} ${ms.toFixed(2)}ms ${(2*m*n*k/ms/1e6).toFixed(2)}  `; }
    console.log(out);
  }
}, 300000);
