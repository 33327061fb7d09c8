// Decodes heads with TF.js's decodeMultiplePoses: as published, and with more and more of its rules replaced.
//
//   node decode.mjs PACKAGES FOLDER
//
// PACKAGES holds node_modules; FOLDER holds job.json and the heads as raw float32, and receives poses.json.
// The replaced decoder is the installed one, copied and edited: its queue, its test for local maxima, its
// way along the edges, its suppression and its scoring stay its own.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

const [packages, folder] = process.argv.slice(2).map((name) => path.resolve(name));
const require = createRequire(path.join(packages, 'package.json'));
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');
const posenet = require('@tensorflow-models/posenet');

const job = JSON.parse(fs.readFileSync(path.join(folder, 'job.json')));
const POSE = 'multi_pose/decode_pose.js';
const MANY = 'multi_pose/decode_multiple_poses.js';

// What each replacement edits: file, what stands there, what shall. Together with SAMPLED's fractional get(),
// leaving out the rounding makes the copy sample between cells.
const EDITS = {
  bilinear: [[POSE, /Math\.round\(/g, '(']],
  refinements: [[POSE, /offsetRefineStep = 2/g, `offsetRefineStep = ${job.refinements}`]],
  'weak poses': [[MANY, /poses\.push\(/g, 'if (exports.isStrong(keypoints, scoreThreshold)) poses.push(']],
  rescoring: [[MANY, /(?=exports\.decodeMultiplePoses =)/g, 'exports.getInstanceScore = getInstanceScore;\n']],
};

const mean = (keypoints) => keypoints.reduce((sum, {score}) => sum + score, 0) / keypoints.length;
const sigmoid = (logit) => 1 / (1 + Math.exp(-logit));

/** A head that can be read between its cells; `activation` is applied to what was sampled. */
class Sampled {
  constructor(shape, values, activation = (value) => value) {
    Object.assign(this, {shape, values, activation});
  }
  get(y, x, channel) {
    const [height, width, channels] = this.shape;
    const [top, left] = [Math.floor(y), Math.floor(x)];
    let sum = 0;
    for (const [row, weightY] of [[top, top + 1 - y], [Math.min(top + 1, height - 1), y - top]]) {
      for (const [column, weightX] of [[left, left + 1 - x], [Math.min(left + 1, width - 1), x - left]]) {
        sum += weightY * weightX * this.values[(row * width + column) * channels + channel];
      }
    }
    return this.activation(sum);
  }
}

/** Takes the best first, and equal ones in the order of std::priority_queue, into which they are pushed in turn. */
class StandardQueue {
  heap = [];
  constructor(parts) {
    for (const part of parts) this.rise(this.heap.length, part);
  }
  empty() {
    return this.heap.length === 0;
  }
  dequeue() {
    const [heap, best, last] = [this.heap, this.heap[0], this.heap.pop()];
    if (heap.length === 0) return best;
    let gap = 0;
    for (let child = 1; child < heap.length; child = 2 * gap + 1) {
      if (child + 1 < heap.length && heap[child + 1].score >= heap[child].score) child++;
      heap[gap] = heap[child];
      gap = child;
    }
    this.rise(gap, last);
    return best;
  }
  rise(at, part) {
    for (let up = (at - 1) >> 1; at > 0 && part.score > this.heap[up].score; up = (at - 1) >> 1) {
      this.heap[at] = this.heap[up];
      at = up;
    }
    this.heap[at] = part;
  }
}

/** The installed decoder with the named rules replaced: a function from heads to poses. */
function replaced(names) {
  const copy = fs.mkdtempSync(path.join(folder, 'copy-'));
  const installed = path.dirname(require.resolve('@tensorflow-models/posenet'));
  for (const part of ['keypoints.js', 'multi_pose']) {
    fs.cpSync(path.join(installed, part), path.join(copy, part), {recursive: true});
  }
  for (const [file, old, text] of names.flatMap((name) => EDITS[name] ?? [])) {
    const source = fs.readFileSync(path.join(copy, file), 'utf8');
    if (!source.match(old)) throw new Error(`${file}: must hold ${old}; is it another version?`);
    fs.writeFileSync(path.join(copy, file), source.replaceAll(old, text));
  }
  const load = createRequire(path.join(copy, 'index.js'));
  const [many, pose, util] = [load(`./${MANY}`), load(`./${POSE}`), load('./multi_pose/util.js')];
  const queue = load('./multi_pose/build_part_with_score_queue.js');
  let limit;

  many.isStrong = (keypoints, threshold) => mean(keypoints) >= threshold;
  if (names.includes('grid')) {
    const {addVectors, getImageCoords} = util;
    const inside = ({y, x}) => ({y: util.clamp(y, 0, limit.y), x: util.clamp(x, 0, limit.x)});
    util.addVectors = (...vectors) => inside(addVectors(...vectors));
    util.getImageCoords = (...part) => inside(getImageCoords(...part));
  }
  if (names.includes('root score')) {
    const {decodePose} = pose;
    pose.decodePose = (root, scores, offsets, stride, ...displacements) => {
      const {y, x} = util.getImageCoords(root.part, stride, offsets);
      const score = scores.get(y / stride, x / stride, root.part.id);
      return decodePose({...root, score}, scores, offsets, stride, ...displacements);
    };
  }
  if (names.includes('ties')) {
    const {buildPartWithScoreQueue} = queue;
    queue.buildPartWithScoreQueue = (...settings) => {
      const heap = buildPartWithScoreQueue(...settings);
      const place = ({part}) => (part.heatmapY * 1e6 + part.heatmapX) * 1e3 + part.id;
      const roots = [];
      while (!heap.empty()) roots.push(heap.dequeue());
      return new StandardQueue(roots.sort((a, b) => place(a) - place(b)));
    };
  }
  return (heads) => {
    limit = {y: (heads.height - 1) * heads.stride, x: (heads.width - 1) * heads.stride};
    const poses = many.decodeMultiplePoses(
        ...buffers(heads, (...head) => new Sampled(...head), sigmoid), heads.stride, job.max_people,
        job.score_threshold, job.nms_radius_px);
    if (!names.includes('rescoring')) return poses;
    poses.sort((a, b) => mean(b.keypoints) - mean(a.keypoints));
    return poses.map(({keypoints}, rank) => ({
      keypoints,
      score: many.getInstanceScore(poses.slice(0, rank), job.nms_radius_px ** 2, keypoints),
    }));
  };
}

/** TF.js as published, fed as its own estimateMultiplePoses does it. */
function published(heads) {
  const buffer = (shape, values, activation) => {
    const tensor = tf.tensor3d(values, shape);
    return (activation ? tf.sigmoid(tensor) : tensor).bufferSync();
  };
  return posenet.decodeMultiplePoses(
      ...buffers(heads, buffer, true), heads.stride, job.max_people, job.score_threshold, job.nms_radius_px);
}

function buffers({name, height, width}, make, activation) {
  return [['heatmaps', 17, activation], ['short', 34], ['forwards', 32], ['backwards', 32]].map(
      ([head, channels, ...rest]) => {
        const file = fs.readFileSync(path.join(folder, `${name}.${head}`));
        const values = new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.length));
        return make([height, width, channels], values, ...rest);
      });
}

const decoders = job.decoders.map((names) => names.length ? replaced(names) : published);
const found = job.heads.map((heads) => decoders.map((decode) => decode(heads).map(({keypoints, score}) => ({
  score,
  points: keypoints.map(({position}) => [position.y, position.x]),
  scores: keypoints.map((keypoint) => keypoint.score),
}))));
fs.writeFileSync(path.join(folder, 'poses.json'), JSON.stringify(found));
