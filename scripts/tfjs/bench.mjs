// Times TF.js's decodeMultiplePoses as published.
//
//   node bench.mjs PACKAGES FOLDER
//
// PACKAGES holds node_modules; FOLDER holds job.json and the heads as raw float32, and receives times.json: per
// heads the fastest in µs, from real numbers in memory to poses.
import fs from 'node:fs';
import {createRequire} from 'node:module';
import path from 'node:path';

const [packages, folder] = process.argv.slice(2).map((name) => path.resolve(name));
const require = createRequire(path.join(packages, 'package.json'));
const tf = require('@tensorflow/tfjs-core');
require('@tensorflow/tfjs-backend-cpu');
const posenet = require('@tensorflow-models/posenet');

const job = JSON.parse(fs.readFileSync(path.join(folder, 'job.json')));

function read(name, shape) {
  const file = fs.readFileSync(path.join(folder, name));
  return tf.tensor3d(new Float32Array(file.buffer.slice(file.byteOffset, file.byteOffset + file.length)), shape);
}

const times = job.heads.map(({name, height, width, stride, max_people}) => {
  const [scores, ...offsets] = [['heatmaps', 17], ['short', 34], ['forwards', 32], ['backwards', 32]].map(
      ([head, channels]) => read(`${name}.${head}`, [height, width, channels]));
  const buffers = [tf.sigmoid(scores), ...offsets].map((tensor) => tensor.bufferSync());
  const took = Array.from({length: job.repeats}, () => {
    const begin = process.hrtime.bigint();
    posenet.decodeMultiplePoses(
        ...buffers, stride, max_people, job.score_threshold, job.nms_radius_px);
    return Number(process.hrtime.bigint() - begin) / 1000;
  });
  return Math.min(...took);
});
fs.writeFileSync(path.join(folder, 'times.json'), JSON.stringify(times));
