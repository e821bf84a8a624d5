// transformers.js: tokens, fill-mask, feature extraction and heads of local folders. `node probe.mjs job.json`.
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import {
  AutoModel,
  AutoModelForMaskedLM,
  AutoModelForSequenceClassification,
  AutoModelForTokenClassification,
  AutoTokenizer,
  Tensor,
  env,
  pipeline,
} from "@huggingface/transformers";

const MODELS = {
  masked_lm: AutoModelForMaskedLM,
  encoder: AutoModel,
  sentence_encoder: AutoModel,
  sequence_classification: AutoModelForSequenceClassification,
  token_classification: AutoModelForTokenClassification,
  question_answering: AutoModel, // transformers.js has no class of its own for this head, and gives the graph's outputs
  reranker: AutoModelForSequenceClassification,
};
const PRECISIONS = { fp32: "float32", q8: "int8" };
const ARRAYS = { I64: BigInt64Array, F32: Float32Array };
const FEWEST_NUMBERS = 16; // as in probing.py

const job = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const arrays = readSafetensors(job.arrays);
const rows = [];
env.allowRemoteModels = false;
env.localModelPath = `${job.release_root}/`;

function readSafetensors(file) {
  const bytes = readFileSync(file);
  const length = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + length).toString("utf-8"));
  delete header.__metadata__;
  return Object.fromEntries(
    Object.entries(header).map(([name, { dtype, shape, data_offsets: [from, to] }]) => {
      const copy = new Uint8Array(bytes.subarray(8 + length + from, 8 + length + to));
      return [name, { shape, data: new ARRAYS[dtype](copy.buffer) }];
    }),
  );
}

function folder(task) {
  return path.relative(job.release_root, job.folders[task]);
}

function agreement([given, expected]) {
  let product = 0, one = 0, other = 0, difference = 0, largest = 0;
  if (given.length !== expected.length) throw new Error(`${given.length} numbers, torch has ${expected.length}`);
  for (let i = 0; i < given.length; i++) {
    if (!Number.isFinite(given[i])) throw new Error("numbers that are not finite");
    product += given[i] * expected[i];
    one += given[i] ** 2;
    other += expected[i] ** 2;
    difference = Math.max(difference, Math.abs(given[i] - expected[i]));
    largest = Math.max(largest, Math.abs(expected[i]));
  }
  return { cosine: product / Math.sqrt(one * other), difference: difference / largest };
}

async function add(task, precision, compute) {
  const row = { runtime: "transformers.js", version: env.version, task, precision };
  const start = performance.now();
  try {
    Object.assign(row, await compute());
  } catch (error) {
    row.error = String(error.message ?? error).split("\n")[0].slice(0, 200);
  }
  rows.push({ ...row, seconds: (performance.now() - start) / 1000 });
}

function worst(pairs) {
  const found = pairs.map(agreement);
  return {
    cosine: Math.min(...found.map((one) => one.cosine)),
    difference: Math.max(...found.map((one) => one.difference)),
  };
}

// Numbers of each text of one output, padding left out; of a vocabulary every `stride`-th.
function vectors(task, output, expected, mask) {
  const perToken = job.tasks[task].per_token;
  const stride = output.dims.at(-1) > expected.shape.at(-1) ? job.stride : 1;
  const [texts, tokens] = mask.shape;
  const [width, kept] = perToken
    ? [output.data.length / (texts * tokens), expected.data.length / (texts * tokens)]
    : [output.data.length / texts, expected.data.length / texts];
  const places = perToken ? tokens : 1;
  return Array.from({ length: texts }, (_, text) => {
    const given = [], wanted = [];
    for (let place = 0; place < places; place++) {
      const at = text * places + place;
      if (perToken && !mask.data[at]) continue;
      for (let i = 0; i < kept; i++) {
        given.push(output.data[at * width + i * stride]);
        wanted.push(expected.data[at * kept + i]);
      }
    }
    return [given, wanted];
  });
}

async function runTask(task, dtype) {
  const model = await MODELS[task].from_pretrained(folder(task), { dtype });
  let pairs = [];
  for (let batch = 0; batch < job.tasks[task].batches; batch++) {
    const of = (name) => arrays[`${task}/${batch}/${name}`];
    const inputs = Object.fromEntries(
      ["input_ids", "attention_mask"].map((name) => [name, new Tensor("int64", of(name).data, of(name).shape)]),
    );
    const outputs = await model(inputs);
    for (const name of job.tasks[task].outputs) {
      if (outputs[name]) pairs.push(...vectors(task, outputs[name], of(name), of("attention_mask")));
    }
  }
  if (!pairs.length) throw new Error(`no output of ${task} was given`);
  if (pairs.every(([, expected]) => expected.length < FEWEST_NUMBERS)) {
    pairs = [[pairs.flatMap(([given]) => given), pairs.flatMap(([, expected]) => expected)]];
  }
  return worst(pairs);
}

async function fillMask(dtype) {
  const { text, tokens, scores, top_k } = job.fill_mask;
  const fill = await pipeline("fill-mask", folder("masked_lm"), { dtype });
  const found = new Map((await fill(text, { top_k })).map((row) => [row.token, row.score]));
  return worst([[tokens.map((token) => found.get(token) ?? 0), scores]]);
}

async function extractFeatures(task, dtype) {
  const extract = await pipeline("feature-extraction", folder(task), { dtype });
  const { shape, data } = arrays[`${task}_embeddings`];
  const pairs = [];
  for (const [i, text] of job.texts.entries()) {
    const given = await extract(text, { pooling: "mean", normalize: true });
    pairs.push([Array.from(given.data), Array.from(data.subarray(i * shape[1], (i + 1) * shape[1]))]);
  }
  return worst(pairs);
}

const tokenizer = await AutoTokenizer.from_pretrained(folder("masked_lm"));
await add("tokens", "tokens", async () => {
  const same = (text, ids) => String(Array.from(tokenizer(text).input_ids.data, Number)) === String(ids);
  return { difference: job.token_texts.filter((text, i) => !same(text, job.token_ids[i])).length };
});
for (const [dtype, precision] of Object.entries(PRECISIONS)) {
  await add("pipeline fill-mask", precision, () => fillMask(dtype));
  for (const task of ["masked_lm", "sentence_encoder"]) {
    await add(`pipeline feature-extraction, folder of ${task}`, precision, () => extractFeatures(task, dtype));
  }
  for (const task of Object.keys(MODELS)) await add(task, precision, () => runTask(task, dtype));
}
writeFileSync(job.results, JSON.stringify(rows));
