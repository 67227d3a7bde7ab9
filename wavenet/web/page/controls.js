// The controls that are touched: bars, one for each number, and the mix of a voice's labels.

/** A slider as wide as its row. changed(value) is called while it moves; a double click brings `value` back. */
export function bar({ name, hint = "", value, low = 0, high = 1, step = 0.01, said = (x) => x.toFixed(2), changed }) {
  const whole = element("div", { className: "bar" });
  const input = element("input", { type: "range", min: low, max: high, step, value, ariaLabel: name });
  const output = element("output");
  whole.append(
    element("span", { className: "name", textContent: name }),
    element("small", { textContent: hint }),
    output,
    input,
  );
  const show = () => {
    whole.style.setProperty("--part", (input.value - low) / (high - low));
    output.textContent = said(Number(input.value));
    input.setAttribute("aria-valuetext", [output.textContent, hint].filter(Boolean).join(", "));
  };
  const set = (number) => {
    input.value = number;
    show();
    changed(Number(input.value));
  };
  input.addEventListener("input", () => set(input.value));
  touched(input, (part) => set(low + part * (high - low)));
  input.addEventListener("dblclick", () => set(value));
  show();
  return Object.assign(whole, {
    input,
    set,
    show: (number) => {
      input.value = number;
      show();
    },
  });
}

/** Follows a finger anywhere on a slider: some phones' own sliders follow it only from the thumb. Moving up or down still
 *  scrolls the page. */
function touched(input, moved) {
  let finger = false;
  const follow = ({ clientX }) => {
    const { left, width } = input.getBoundingClientRect();
    moved(Math.max(0, Math.min(1, (clientX - left) / width)));
  };
  input.addEventListener("pointerdown", ({ pointerType }) => (finger = pointerType === "touch"));
  input.addEventListener("pointermove", (event) => finger && follow(event));
  input.addEventListener("pointerup", (event) => {
    if (finger) follow(event);
    finger = false;
  });
  input.addEventListener("pointercancel", () => (finger = false)); // it scrolls
}

/** A bar for each value of each label. labels: [{label, value}]; weights, one of each, are kept up to date, and
 *  changed() is called. */
export function mixer(labels, weights, changed) {
  return [...grouped(labels)].map(([label, places]) => {
    const group = element("fieldset");
    const parts = element("div", { className: "parts" });
    const bars = places.map((i) =>
      bar({ name: labels[i].value, value: weights[i], changed: (weight) => ((weights[i] = weight), changed()) }),
    );
    bars.forEach((slider, row) => {
      const { value } = labels[places[row]];
      slider.input.ariaLabel = `${label} ${value}`;
      const only = element("button", { textContent: "only", ariaLabel: `only ${label} ${value}` });
      only.addEventListener("click", () => {
        places.forEach((i, other) => bars[other].show((weights[i] = Number(other === row))));
        changed();
      });
      const part = element("div", { className: "part" });
      part.append(slider, only);
      parts.append(part);
    });
    group.append(element("legend", { textContent: label }), parts);
    return group;
  });
}

/** Weights whose sum in one label is above 1 are scaled down to 1: in training, one value of a label was chosen. */
export function mixed(labels, weights) {
  const sums = new Map(
    [...grouped(labels)].map(([label, places]) => [label, places.reduce((sum, i) => sum + weights[i], 0)]),
  );
  return weights.map((weight, i) => weight / Math.max(1, sums.get(labels[i].label)));
}

export function element(tag, properties = {}) {
  return Object.assign(document.createElement(tag), properties);
}

/** The places of each label's values. */
function grouped(labels) {
  const groups = new Map();
  labels.forEach(({ label }, i) => groups.set(label, [...(groups.get(label) ?? []), i]));
  return groups;
}
