// The rolling picture: a spectrogram over a waveform. Left of the line is what was heard; right of it what is already
// made, which is made anew when a control moves. Colour tells age, and loudness how much of it there is.

import { Spectrum, height } from "./spectrum.js";

const AHEAD = 1.15; // seconds right of the line
const WINDOW = 0.064; // seconds, about
const SPECTROGRAM = 0.76; // of the height
const WAVE = [0.8, 0.98]; // from .. to of the height
const TICKS = [200, 500, 1000, 2000, 4000, 8000, 16000]; // Hz
const MOST_COLUMNS = 300; // in one frame, so that a new picture does not hold the page up
const STILL = 250; // milliseconds between frames, where motion is to be reduced
const RESTS = 60; // and where the processor is wanted elsewhere

export class Picture {
  constructor(canvas, history) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.strip = document.createElement("canvas"); // column c of the sound at c modulo its width
    this.history = history;
    this.marks = [];
    this.receptiveField = 0; // samples; 0: no voice is there
    this.shown = 0; // the place at the line
    this.reported = { played: 0, flows: false, time: 0 };
    this.still = matchMedia("(prefers-reduced-motion: reduce)");
    for (const query of [this.still, matchMedia("(prefers-color-scheme: dark)")])
      query.addEventListener("change", () => this.resize());
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.last = 0;
    this.rests = false; // whether to draw less often
    requestAnimationFrame((time) => this.frame(time));
  }

  /** A line in the picture where something begins. */
  mark(place, text) {
    this.marks = [...this.marks.filter((mark) => mark.place < place).slice(-20), { place, text }];
  }

  played({ played, flows }) {
    this.reported = { played, flows, time: performance.now() };
  }

  cut(place) {
    this.first = Math.min(this.first, Math.floor((place - this.window) / this.hop));
  }

  /** Begins a new picture of the same sound: of another size, in other colours, or at another rate. */
  resize() {
    const { canvas, history } = this;
    this.scale = Math.min(devicePixelRatio, 2);
    const width = Math.max(1, Math.round(canvas.clientWidth * this.scale));
    const tall = Math.max(1, Math.round(canvas.clientHeight * this.scale));
    Object.assign(canvas, { width, height: tall });
    this.seconds = canvas.clientWidth > 700 ? 9 : 5.5;
    this.hop = (this.seconds * history.rate) / width; // samples in a column
    this.window = 2 ** Math.round(Math.log2(WINDOW * history.rate));
    this.rows = Math.max(1, Math.round(tall * SPECTROGRAM));
    this.spectrum = new Spectrum(history.rate, this.window, this.rows);
    Object.assign(this.strip, { width, height: tall });
    this.stripContext = this.strip.getContext("2d");
    this.column = this.stripContext.createImageData(1, tall);
    this.samples = new Float32Array(this.window);
    this.first = Math.floor(this.shown / this.hop) - width; // the first column that is not in the strip
    const style = getComputedStyle(canvas);
    const names = ["ink", "old", "warm", "hot", "ahead", "line", "text", "stage"];
    this.colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
    this.shade = style.getPropertyValue("--ink-rgb").split(",").map(Number);
    this.font = `${11 * this.scale}px ${style.fontFamily}`;
    this.last = 0;
  }

  frame(time) {
    requestAnimationFrame((next) => this.frame(next));
    if (!this.spectrum || time - this.last < (this.still.matches ? STILL : this.rests ? RESTS : 0)) return;
    this.advance((time - this.last) / 1000);
    this.last = time;
    this.fill();
    this.draw();
  }

  /** Moves the line as evenly as the reports allow. */
  advance(seconds) {
    const { played, flows, time } = this.reported;
    const { rate } = this.history;
    const since = flows ? Math.min((performance.now() - time) / 1000, 0.1) : 0;
    const truth = played + since * rate;
    const guess = this.shown + (flows ? seconds * rate : 0);
    this.shown = Math.abs(truth - guess) > 0.2 * rate || !flows ? truth : guess + 0.08 * (truth - guess);
  }

  /** Adds the columns of what was made since. */
  fill() {
    const { history, hop, window, strip } = this;
    this.first = Math.max(this.first, Math.floor(this.shown / hop) - strip.width);
    for (let left = MOST_COLUMNS; left > 0 && this.first * hop + window / 2 <= history.end; left--, this.first++) {
      const middle = Math.round(this.first * hop);
      history.read(middle - window / 2, middle + window / 2, this.samples);
      this.paint(this.spectrum.of(this.samples), middle >= history.start);
      this.stripContext.putImageData(this.column, wrapped(this.first, strip.width), 0);
    }
  }

  /** One column: how much ink each pixel gets. */
  paint(levels, sounds) {
    const { data } = this.column;
    const tall = this.strip.height;
    const [red, green, blue] = this.shade;
    data.fill(0);
    const put = (y, ink) => {
      data[4 * y] = red;
      data[4 * y + 1] = green;
      data[4 * y + 2] = blue;
      data[4 * y + 3] = Math.round(255 * ink);
    };
    for (let row = 0; row < this.rows; row++) put(this.rows - 1 - row, levels[row] ** 1.6);
    if (!sounds) return;
    const half = this.window / 2;
    const reach = Math.max(1, Math.round(this.hop));
    const sounded = this.samples.subarray(half, half + reach);
    const middle = (tall * (WAVE[0] + WAVE[1])) / 2;
    const unit = (tall * (WAVE[1] - WAVE[0])) / 2;
    const top = Math.floor(middle - unit * Math.max(...sounded));
    const bottom = Math.ceil(middle - unit * Math.min(...sounded));
    for (let y = Math.max(this.rows + 1, top); y <= Math.min(tall - 1, bottom); y++) put(y, 0.8);
  }

  draw() {
    const { canvas, context, strip, hop, colours } = this;
    const { width, height: tall } = canvas;
    const now = Math.floor(this.shown / hop);
    const line = this.still.matches ? wrapped(now, width) : width - Math.round((AHEAD / this.seconds) * width);
    context.clearRect(0, 0, width, tall);
    context.globalCompositeOperation = "source-over";
    const layer = () => {
      if (this.still.matches) return context.drawImage(strip, 0, 0);
      const from = wrapped(now - line, width);
      context.drawImage(strip, from, 0, width - from, tall, 0, 0, width - from, tall);
      if (from) context.drawImage(strip, 0, 0, from, tall, width - from, 0, from, tall);
      const end = line + this.first - now; // beyond it, the strip still holds the columns of long ago
      if (end < width) context.clearRect(end, 0, width - end, tall);
    };
    layer();
    context.globalCompositeOperation = "source-in";
    context.fillStyle = this.ages(line, width);
    context.fillRect(0, 0, width, tall);
    context.globalCompositeOperation = "source-atop"; // what is loud gets the colour of the ink itself
    context.globalAlpha = 0.5;
    layer();
    context.globalAlpha = 1;
    context.globalCompositeOperation = "source-over";
    if (this.still.matches) context.clearRect(line + 1, 0, 24 * this.scale, tall);
    if (this.receptiveField) this.annotate(now, line);
  }

  ages(line, width) {
    const { context, colours } = this;
    if (this.still.matches) return colours.warm;
    const ages = context.createLinearGradient(0, 0, width, 0);
    const now = line / width;
    ages.addColorStop(0, colours.old);
    ages.addColorStop(now * 0.55, colours.old);
    ages.addColorStop(now * 0.87, colours.warm);
    ages.addColorStop(now, colours.hot);
    ages.addColorStop(now, colours.ahead);
    ages.addColorStop(1, colours.ahead);
    return ages;
  }

  /** The line of now, the stretch that the network hears, marks, and what the heights mean. */
  annotate(now, line) {
    const { context, scale, hop, colours } = this;
    const tall = this.canvas.height;
    const column = (place) => line + Math.round(place / hop) - now;
    const heard = Math.min(line, this.receptiveField / hop);
    context.fillStyle = colours.line;
    context.globalAlpha = 0.1;
    context.fillRect(line - heard, 0, heard, tall);
    context.globalAlpha = 1;
    context.fillRect(line, 0, scale, tall);
    this.write(line, column);
  }

  write(line, column) {
    const { context, scale, history, rows } = this;
    const words = (text, x, y, align) => {
      context.textAlign = align;
      context.strokeText(text, x, y);
      context.fillText(text, x, y);
    };
    context.font = this.font;
    context.fillStyle = this.colours.text;
    context.strokeStyle = this.colours.stage; // keeps words apart from the ink under them
    context.lineWidth = 4 * scale;
    context.lineJoin = "round";
    context.textBaseline = "middle";
    const top = history.rate / 2;
    for (const hertz of TICKS.filter((tick) => tick < top * 0.9)) {
      const y = rows * (1 - height(hertz, top));
      words(hertz < 1000 ? `${hertz} Hz` : `${hertz / 1000} kHz`, 12 * scale, y, "left");
      context.fillRect(0, Math.round(y), 7 * scale, scale);
    }
    if (this.still.matches) return;
    const below = rows + 9 * scale;
    words(`hears ${said(this.receptiveField / history.rate)}`, line - 7 * scale, below, "right");
    words(this.canvas.clientWidth > 700 ? "made ahead" : "ahead", line + 8 * scale, below, "left");
    let free = this.canvas.width; // right of it, a later mark has its words
    for (const { place, text } of [...this.marks].reverse()) {
      const x = column(place);
      if (x < 0 || x > this.canvas.width) continue;
      for (let y = 0; y < rows; y += 6 * scale) context.fillRect(x, y, scale, 2 * scale);
      const from = x + 6 * scale;
      if (from + context.measureText(text).width < free) words(text, from, 14 * scale, "left");
      free = Math.min(free, x - 6 * scale);
    }
  }
}

/** A duration. */
const said = (seconds) => (seconds < 1 ? `${Math.round(1000 * seconds)} ms` : `${seconds.toFixed(1)} s`);
const wrapped = (column, width) => ((column % width) + width) % width;
