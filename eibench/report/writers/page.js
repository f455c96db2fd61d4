"use strict";
(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const make = (tag, props = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), props);
    element.append(...children);
    return element;
  };

  // ------------------------------------------------------------------ tables: sort and filter
  const collator = new Intl.Collator("en", { numeric: true });
  const valueOf = (row, i) => {
    const text = row.cells[i].firstChild ? row.cells[i].firstChild.textContent.trim() : "";
    const number = /^[-+]?\d[\d.]*(e[-+]?\d+)?/i.exec(text);
    return text === "" || text === "-" ? null : number ? parseFloat(number[0]) : text;
  };
  const compare = (a, b) => {
    if (a === null || b === null) return (a === null) - (b === null) || 0;
    if (typeof a === "number" && typeof b === "number") return a - b;
    return collator.compare(String(a), String(b));
  };
  const sortBy = (table, head, heads) => {
    const up = head.getAttribute("aria-sort") !== "ascending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const i = head.cellIndex, body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [valueOf(row, i), row]);
    rows.sort(([a], [b]) => (a === null || b === null || up ? compare(a, b) : compare(b, a)));
    body.append(...rows.map(([, row]) => row));
  };
  const addFilter = (box, table) => {
    const rows = [...table.tBodies[0].rows];
    const name = table.caption ? table.caption.textContent : "table";
    const input = make("input", { type: "search", placeholder: "Filter rows" });
    input.setAttribute("aria-label", `Filter rows: ${name}`);
    const count = make("span", { textContent: `${rows.length} rows` });
    count.setAttribute("role", "status");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
        shown += !row.hidden;
      }
      count.textContent = shown === rows.length ? `${shown} rows` : `${shown} of ${rows.length} rows`;
    });
    box.prepend(make("div", { className: "tools" }, input, count));
  };
  for (const box of document.querySelectorAll(".table")) {
    const table = box.querySelector("table");
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    for (const head of heads) {
      head.firstElementChild.addEventListener("click", () => sortBy(table, head, heads));
    }
    addFilter(box, table);
  }

  // ------------------------------------------------------------------ charts
  const lighten = (colour) => {
    // Colours too dark for a dark page become lighter in the same hue.
    if (!dark.matches || !/^#[0-9a-f]{6}$/i.test(colour)) return colour;
    const parts = [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16));
    const light = (0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]) / 255;
    const share = Math.max(0, (0.42 - light) / (1 - light));
    return "#" + parts.map((p) => Math.round(p + share * (255 - p)).toString(16).padStart(2, "0")).join("");
  };
  const unpack = (values, length) => {
    // Equal values that stand together are stored as { runs: [value, count, ...] }, what begins again as { cycle: [values] }.
    if (Array.isArray(values)) return values;
    if (values.cycle) return Array.from({ length }, (_, i) => values.cycle[i % values.cycle.length]);
    const all = [];
    for (let i = 0; i < values.runs.length; i += 2) all.push(...Array(values.runs[i + 1]).fill(values.runs[i]));
    return all;
  };
  const config = (width) => {
    const style = getComputedStyle(document.documentElement);
    const [text, soft, line, grid] = ["--text", "--soft", "--line", "--grid"].map((n) => style.getPropertyValue(n).trim());
    const axis = { labelColor: soft, titleColor: text, domainColor: line, tickColor: line, gridColor: grid, titleFontWeight: 500,
                   labelFontSize: 11, titleFontSize: 12, labelLimit: Math.min(260, 0.42 * width) };
    return { background: "transparent", font: "system-ui, sans-serif", view: { stroke: line }, axis,
             legend: { labelColor: soft, titleColor: text, titleFontWeight: 500 } };
  };
  const layers = JSON.parse(document.getElementById("layers.all")?.textContent ?? "[]"); // those of all charts, each once
  const MOST_PANELS = 6;

  class Chart {
    constructor(figure) {
      this.figure = figure;
      this.data = JSON.parse(figure.querySelector("script").textContent);
      const { columns, length, panels } = this.data;
      this.columns = Object.entries(columns).map(([name, values]) => [name, unpack(values, length)]);
      this.rows = panels.map(() => []);
      for (let i = 0; i < length; i++) {
        const row = Object.fromEntries(this.columns.map(([name, values]) => [name, values[i]]));
        this.rows[row.panel].push(row);
      }
      this.hidden = new Set();
      this.views = new Map();
      this.label = figure.querySelector("figcaption").textContent;
      this.build();
    }
    build() {
      const { series, panels } = this.data;
      if (series.length > 1 && series[0][1]) this.figure.append(this.legend());
      this.boxes = panels.map((name, i) => {
        const view = make("div", { className: "view" });
        view.setAttribute("role", "img");
        view.setAttribute("aria-label", `${this.data.title}${name ? `, ${name}` : ""}. ${this.label}`);
        const box = make("div", { className: "panel", hidden: i >= MOST_PANELS }, ...(name ? [make("p", { textContent: name })] : []), view);
        box.view = view;
        box.index = i;
        observer.observe(box);
        owners.set(box, this);
        return box;
      });
      this.figure.append(make("div", { className: panels.length === 1 ? "panels one" : "panels" }, ...this.boxes), this.tools());
    }
    legend() {
      const list = make("div", { className: "legend" });
      list.setAttribute("role", "group");
      list.setAttribute("aria-label", `Lines of: ${this.data.title}`);
      this.keys = this.data.series.map(([name, colour, sign], i) => {
        const mark = make("span", { textContent: `${sign} ` });
        mark.setAttribute("aria-hidden", "true");
        const button = make("button", { type: "button" }, mark, name);
        button.addEventListener("click", () => this.toggle([i], this.hidden.has(i)));
        button.paint = () => { mark.style.color = lighten(colour); };
        button.index = i;
        return button;
      });
      const all = make("button", { type: "button", textContent: "all / none" });
      all.addEventListener("click", () => this.toggle([...this.data.series.keys()], this.hidden.size > 0));
      list.append(...this.keys, all);
      this.paint();
      return list;
    }
    paint() {
      for (const key of this.keys || []) {
        key.paint();
        key.setAttribute("aria-pressed", String(!this.hidden.has(key.index)));
      }
    }
    toggle(places, shown) {
      for (const i of places) shown ? this.hidden.delete(i) : this.hidden.add(i);
      this.paint();
      for (const [box, view] of this.views) view.data("rows", this.shown(box)).runAsync();
    }
    shown(box) {
      return this.rows[box.index].filter((row) => !this.hidden.has(row.name)).map((row) => {
        const [name, colour, , shape] = this.data.series[row.name];
        return { ...row, name, colour: lighten(colour), shape, order: row.name };
      });
    }
    async draw(box) {
      if (this.views.has(box)) this.views.get(box).finalize();
      const { spec: whole } = this.data;
      const spec = structuredClone({ ...whole, layer: whole.layer.map((i) => layers[i]) });
      spec.datasets = { rows: this.shown(box), once: [{}] };
      const options = { ast: true, actions: false, renderer: "svg", defaultStyle: false, tooltip: { disableDefaultStyle: true },
                        config: config(box.view.clientWidth) };
      const { view } = await vegaEmbed(box.view, spec, options);
      this.views.set(box, view);
    }
    tools() {
      const more = make("button", { type: "button", textContent: `Show all ${this.boxes.length} panels` });
      more.addEventListener("click", () => { this.boxes.forEach((box) => { box.hidden = false; }); more.remove(); });
      const numbers = make("button", { type: "button", textContent: "Numbers" });
      numbers.setAttribute("aria-expanded", "false");
      numbers.addEventListener("click", () => {
        this.table = this.table || this.figure.appendChild(this.numbers());
        this.table.hidden = numbers.getAttribute("aria-expanded") === "true";
        numbers.setAttribute("aria-expanded", String(!this.table.hidden));
      });
      const save = make("button", { type: "button", textContent: "Save as SVG" });
      save.addEventListener("click", () => this.save());
      return make("div", { className: "tools" }, ...(this.boxes.length > MOST_PANELS ? [more] : []), numbers, save);
    }
    async save() {
      for (const [box, view] of this.views) {
        const text = await view.toSVG();
        const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })) });
        link.download = `${[this.data.title, this.data.panels[box.index]].filter(Boolean).join(" ").replace(/[^\w.-]+/g, "_")}.svg`;
        link.click();
        URL.revokeObjectURL(link.href);
      }
    }
    numbers() {
      const { length, series, panels } = this.data;
      const several = panels.length > 1 || panels[0];
      const kept = this.columns.filter(([name, values]) =>
        name === "panel" ? several : name === "name" ? series[0][0] : values.some((value) => value !== null));
      const head = make("tr", {}, ...kept.map(([name]) => make("th", { scope: "col", textContent: name })));
      const show = (name, value) => name === "name" ? series[value][0] : name === "panel" ? panels[value] : value === null ? "" : String(value);
      const cells = (i) => kept.map(([name, values]) => make("td", { textContent: show(name, values[i]) }));
      const body = Array.from({ length }, (_, i) => make("tr", {}, ...cells(i)));
      const table = make("table", {}, make("thead", {}, head), make("tbody", {}, ...body));
      const box = make("div", { className: "scroll", tabIndex: 0 }, table);
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", `Numbers of: ${this.data.title}`);
      return box;
    }
  }

  const owners = new Map();
  const drawn = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting && !drawn.has(target)) {
        drawn.add(target);
        owners.get(target).draw(target);
      }
    }
  }, { rootMargin: "600px" });
  const charts = [...document.querySelectorAll("figure.chart")].map((figure) => new Chart(figure));
  dark.addEventListener("change", () => {
    for (const chart of charts) chart.paint();
    for (const box of drawn) owners.get(box).draw(box);
  });

  // A part with several charts shows one at a time.
  for (const part of document.querySelectorAll(".charts")) {
    const figures = [...part.children];
    if (figures.length < 3) continue;
    const choose = make("select", {}, ...figures.map((figure, i) => make("option", { value: i, textContent: figure.firstElementChild.textContent })));
    choose.setAttribute("aria-label", "Chart");
    const show = () => figures.forEach((figure, i) => { figure.hidden = String(i) !== choose.value; });
    choose.addEventListener("change", show);
    part.prepend(make("div", { className: "tools" }, "Chart: ", choose));
    show();
  }
})();
