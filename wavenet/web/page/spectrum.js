// One column of a spectrogram: the level of rows from low to high, evenly spaced as the ear hears them.

const FLOOR = -78; // dB of a full-scale sine, which becomes 0
const CEILING = -14; // becomes 1

export class Spectrum {
  /** window: samples, a power of two; rows: of the picture. */
  constructor(rate, window, rows) {
    this.window = window;
    this.hann = Float32Array.from({ length: window }, (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / window));
    this.cos = Float32Array.from({ length: window / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / window));
    this.sin = Float32Array.from({ length: window / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / window));
    this.real = new Float32Array(window);
    this.imaginary = new Float32Array(window);
    this.levels = new Float32Array(rows);
    const top = rate / 2;
    this.edges = Float32Array.from({ length: rows + 1 }, (_, row) => (hertz(row / rows, top) / rate) * window);
  }

  /** The rows' levels, 0 .. 1, lowest first, of one window of samples. The array is used again. */
  of(samples) {
    const { window, real, imaginary, edges, levels } = this;
    const bits = Math.log2(window);
    for (let i = 0; i < window; i++) {
      let turned = 0;
      for (let bit = 0; bit < bits; bit++) turned |= ((i >> bit) & 1) << (bits - 1 - bit);
      real[turned] = samples[i] * this.hann[i];
    }
    imaginary.fill(0);
    this.transform();
    const power = (bin) => real[bin] * real[bin] + imaginary[bin] * imaginary[bin];
    const full = (window / 4) ** 2; // of a full-scale sine
    for (let row = 0; row < levels.length; row++) {
      const low = edges[row];
      const high = edges[row + 1];
      let most = 0;
      if (high - low < 1) {
        const bin = Math.min(Math.floor((low + high) / 2), window / 2 - 2);
        const part = (low + high) / 2 - bin;
        most = power(bin) * (1 - part) + power(bin + 1) * part;
      } else for (let bin = Math.floor(low); bin < high; bin++) most = Math.max(most, power(bin));
      const decibels = 10 * Math.log10(most / full + 1e-12);
      levels[row] = Math.max(0, Math.min(1, (decibels - FLOOR) / (CEILING - FLOOR)));
    }
    return levels;
  }

  /** Cooley and Tukey, in place, on inputs in bit-reversed order. */
  transform() {
    const { window, real, imaginary, cos, sin } = this;
    for (let size = 2; size <= window; size *= 2) {
      const half = size / 2;
      const turn = window / size;
      for (let start = 0; start < window; start += size) {
        for (let k = 0; k < half; k++) {
          const a = start + k;
          const b = a + half;
          const re = real[b] * cos[k * turn] + imaginary[b] * sin[k * turn];
          const im = imaginary[b] * cos[k * turn] - real[b] * sin[k * turn];
          real[b] = real[a] - re;
          imaginary[b] = imaginary[a] - im;
          real[a] += re;
          imaginary[a] += im;
        }
      }
    }
  }
}

/** The frequency at a height, 0 .. 1, of a picture whose upper edge is `top` Hz: the mel scale. */
export function hertz(height, top) {
  return 700 * ((1 + top / 700) ** height - 1);
}

/** The height of a frequency. */
export function height(hertz, top) {
  return Math.log(1 + hertz / 700) / Math.log(1 + top / 700);
}
