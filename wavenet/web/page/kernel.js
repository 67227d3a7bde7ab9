// Which of the two compiled kernels this browser plays best. Both make the same samples.
//
// The instruction i32x4.relaxed_dot_i8x16_i7x16_add_s multiplies bytes, twice as fast as plain SIMD. WebAssembly leaves
// open what it makes of inputs of 8 bits: processors take them as unsigned or as signed, which the kernel allows for, or
// add them in too few bits. A machine always does the same, so a few products tell whether its sums are exact.

// dot(w, x): the instruction's sum of four products w x of bytes, as a module
const DOT = [
  [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // WebAssembly 1
  [0x01, 0x07, 0x01, 0x60, 0x02, 0x7f, 0x7f, 0x01, 0x7f], // (i32, i32) -> i32
  [0x03, 0x02, 0x01, 0x00],
  [0x07, 0x07, 0x01, 0x03, 0x64, 0x6f, 0x74, 0x00, 0x00], // export "dot"
  [0x0a, 0x16, 0x01, 0x14, 0x00], // its code:
  [0x20, 0x00, 0xfd, 0x0f, 0x20, 0x01, 0xfd, 0x0f], // i8x16.splat of each
  [0x41, 0x00, 0xfd, 0x11, 0xfd, 0x93, 0x02], // i32x4.splat of 0, and the instruction
  [0xfd, 0x1b, 0x00, 0x0b], // i32x4.extract_lane 0
];
const WEIGHTS = [-127, -1, 1, 127];
const INPUTS = [0, 1, 127, 128, 255];

/** The name of a file beside the page. */
export function fittingKernel() {
  return sumsAreExact() ? "wavenet-relaxed.wasm" : "wavenet.wasm";
}

function sumsAreExact() {
  const bytes = Uint8Array.from(DOT.flat());
  if (!WebAssembly.validate(bytes)) return false;
  const { dot } = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports;
  const agrees = (read) => WEIGHTS.every((w) => INPUTS.every((x) => dot(w, x) === 4 * w * read(x)));
  return agrees((x) => x) || agrees((x) => (x << 24) >> 24);
}
