// The engine in WebAssembly, behind the C interface of wavenet.h. Every network gets an instance of its own: dropping
// it frees its memory, and one that failed cannot harm another.

const MOST = 1 << 14; // samples in one call of generate
const TOO_LARGE = "the network needs more memory than the browser gives";

export class Network {
  /** Loads an exported file. Throws an Error with one line about what is wrong with it. */
  static async load(module, bytes) {
    const network = new Network();
    const instance = await WebAssembly.instantiate(module, imports(module));
    const c = (network.c = instance.exports);
    c._initialize?.();
    const address = network.put(bytes);
    const model = network.guarded((error, size) => c.wavenet_load(address, bytes.length, error, size));
    c.free(address);
    network.player = network.guarded((error, size) => c.wavenet_player_new(model, error, size));
    network.rate = c.wavenet_sample_rate(model);
    network.receptiveField = Number(c.wavenet_receptive_field(model));
    network.labels = Array.from({ length: c.wavenet_label_count(model) }, (_, i) => ({
      label: network.text(c.wavenet_label_name(model, i)),
      value: network.text(c.wavenet_label_value(model, i)),
    }));
    network.takesTopP = c.wavenet_set_top_p(network.player, 0.5) === 0 && c.wavenet_set_top_p(network.player, 1) === 0;
    network.stateSize = c.wavenet_state_size(network.player);
    network.output = c.malloc(4 * MOST);
    return network;
  }

  /** Settings: temperature, topP, seed, weights (one for each of `labels`); what is left out stays. */
  set({ temperature, topP, seed, weights }) {
    const { c, player } = this;
    if (temperature !== undefined) c.wavenet_set_temperature(player, temperature);
    if (topP !== undefined && this.takesTopP) c.wavenet_set_top_p(player, topP);
    if (seed !== undefined) c.wavenet_set_seed(player, BigInt(seed));
    weights?.forEach((weight, i) => c.wavenet_set_label(player, i, weight));
  }

  /** The next sound continues these samples (Float32Array, at `rate`); none: silence. */
  prime(samples) {
    const address = this.put(new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength));
    this.c.wavenet_prime(this.player, address, samples.length);
    this.c.free(address);
  }

  restart() {
    this.c.wavenet_restart(this.player);
  }

  /** The next samples (Float32Array, count). */
  generate(count) {
    if (count > MOST) throw new Error(`${count} samples are more than ${MOST}`);
    this.c.wavenet_generate(this.player, this.output, count);
    return new Float32Array(this.c.memory.buffer, this.output, count).slice();
  }

  /** Memory for one place in the sound, for `save` and `restore`. Throws an Error where there is none left. */
  place() {
    const address = this.c.malloc(this.stateSize);
    if (!address) throw new Error(TOO_LARGE);
    return address;
  }

  save(place) {
    this.c.wavenet_save(this.player, place);
  }

  restore(place) {
    this.c.wavenet_restore(this.player, place);
  }

  // ---- what C needs

  put(bytes) {
    const address = this.c.malloc(Math.max(bytes.length, 1));
    if (!address) throw new Error(TOO_LARGE);
    new Uint8Array(this.c.memory.buffer, address, bytes.length).set(bytes);
    return address;
  }

  text(address) {
    const memory = new Uint8Array(this.c.memory.buffer, address);
    return new TextDecoder().decode(memory.slice(0, memory.indexOf(0)));
  }

  /** What make(error, size) returns; throws its error text if that is NULL. */
  guarded(make) {
    const size = 512;
    const error = this.c.malloc(size);
    const made = make(error, size);
    const said = made ? "" : this.text(error);
    this.c.free(error);
    if (!made) throw new Error(said || TOO_LARGE);
    return made;
  }
}

/** The module needs no system: what it imports of one does nothing. */
function imports(module) {
  const imports = {};
  for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
  return imports;
}
