// Resampling of a stream by a windowed sinc. What it needs of the past is carried from block to block, so a sound that
// comes in blocks of any length comes out as if it had been given at once.

const ZEROS = 32; // zero crossings of the sinc on each side
const BETA = 8; // of the Kaiser window: what lies outside the band is below -80 dB
const BAND = 0.94; // the cut, as a part of the lower rate's Nyquist frequency
const MOST_PHASES = 4096;

export class Resampler {
  /** from, to: whole rates in Hz. */
  constructor(from, to) {
    const shared = divisor(from, to);
    this.step = from / shared; // one output advances the input by step / unit
    this.unit = to / shared;
    this.copies = from === to;
    const cut = BAND * Math.min(1, to / from);
    this.half = this.copies ? 0 : Math.ceil(ZEROS / cut);
    this.taps = 2 * this.half;
    this.late = this.copies ? 0 : this.half + 1; // input samples from an input to its output
    this.phases = Math.min(this.unit, MOST_PHASES);
    this.filters = this.copies ? null : filters(this.phases, this.half, cut);
    this.work = new Float32Array(this.taps + 4096);
    this.phase = 0; // of the next output, in units of 1 / unit input samples
  }

  /** How many input samples the next `outputs` take. */
  needs(outputs) {
    return Math.floor((this.phase + outputs * this.step) / this.unit);
  }

  /** Fills `output` (n) from `input` (needs(n)). */
  process(input, output) {
    if (this.copies) return output.set(input);
    const { taps, step, unit, phases, filters } = this;
    if (this.work.length < taps + input.length) {
      const longer = new Float32Array(taps + 2 * input.length);
      longer.set(this.work.subarray(0, taps));
      this.work = longer;
    }
    const work = this.work;
    work.set(input, taps);
    let at = 0;
    let phase = this.phase;
    for (let i = 0; i < output.length; i++) {
      const row = Math.floor((phase * phases) / unit) * taps;
      let sum = 0;
      for (let k = 0; k < taps; k++) sum += work[at + k] * filters[row + k];
      output[i] = sum;
      phase += step;
      const passed = Math.floor(phase / unit);
      at += passed;
      phase -= passed * unit;
    }
    this.phase = phase;
    work.copyWithin(0, at, at + taps);
  }
}

/** A whole sound at another rate. */
export function resampled(samples, from, to) {
  if (from === to) return samples;
  const resampler = new Resampler(from, to);
  const late = Math.round((resampler.late * to) / from);
  const output = new Float32Array(Math.round((samples.length * to) / from) + late);
  const input = new Float32Array(resampler.needs(output.length));
  input.set(samples.subarray(0, input.length));
  resampler.process(input, output);
  return output.subarray(late);
}

/** (phases, taps): the sinc between two inputs, `phase / phases` after the first; every row sums to 1. */
function filters(phases, half, cut) {
  const taps = 2 * half;
  const rows = new Float32Array(phases * taps);
  for (let phase = 0; phase < phases; phase++) {
    const row = rows.subarray(phase * taps, (phase + 1) * taps);
    for (let k = 0; k < taps; k++) {
      const x = k - (half - 1) - phase / phases;
      const sinc = x === 0 ? 1 : Math.sin(Math.PI * cut * x) / (Math.PI * cut * x);
      row[k] = sinc * bessel(BETA * Math.sqrt(Math.max(0, 1 - (x / half) ** 2)));
    }
    const sum = row.reduce((total, value) => total + value, 0);
    for (let k = 0; k < taps; k++) row[k] /= sum;
  }
  return rows;
}

/** The modified Bessel function I0, of which the Kaiser window is made. */
function bessel(x) {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > 1e-12 * sum; k++) sum += term *= (x / (2 * k)) ** 2;
  return sum;
}

const divisor = (a, b) => (b ? divisor(b, a % b) : a);
