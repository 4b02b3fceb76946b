
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const at = id => document.getElementById(id);
  // [parent, name] is a holder, [parent, name, unzipped, zipped, kind] a file. A parent stands before
  // its children, so that sums need one walk from the end.
  const nodes = data.nodes.map(([parent, name, unzipped = 0, zipped = 0, kind = null]) =>
    ({ parent, name, unzipped, zipped, kind, files: kind === null ? 0 : 1, children: [], byKind: data.kinds.map(() => 0) }));
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i];
    if (node.kind !== null) node.byKind[node.kind] = node.unzipped;
    else node.main = node.byKind.indexOf(Math.max(...node.byKind));
    if (i === 0) break;
    const parent = nodes[node.parent];
    for (const sum of ["unzipped", "zipped", "files"]) parent[sum] += node[sum];
    node.byKind.forEach((bytes, kind) => { parent.byKind[kind] += bytes; });
    parent.children.push(node);
    node.above = parent;
  }
  const root = nodes[0];
  let here = root, measure = "unzipped", order = { by: "unzipped", up: false };

  const size = bytes => bytes < 1e3 ? `${bytes} B` : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  const percent = (part, whole) => whole ? `${(part * 100 / whole).toFixed(1)} %` : "";
  const make = (tag, text, parent) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (parent) parent.append(element);
    return element;
  };
  const path = node => node === root ? [root] : [...path(node.above), node];

  // Bruls, Huizing, van Wijk, "Squarified Treemaps" (2000): rows are filled as long as the shapes
  // in them become more square.
  function squarify(items, x, y, width, height, place) {
    let left = items.reduce((sum, item) => sum + item[measure], 0);
    for (let i = 0; i < items.length && left > 0 && width > 0 && height > 0;) {
      const side = Math.min(width, height), scale = width * height / left;
      let row = 0, worst = Infinity, end = i;
      while (end < items.length) {
        const grown = row + items[end][measure] * scale, deep = grown / side;
        const lengths = [items[i], items[end]].map(item => item[measure] * scale / deep);
        const shape = Math.max(...lengths.map(length => Math.max(length / deep, deep / length)));
        if (shape > worst) break;
        worst = shape; row = grown; end++;
      }
      const deep = row / side;
      let along = 0;
      for (; i < end; i++) {
        const length = items[i][measure] * scale / deep;
        if (width >= height) place(items[i], x, y + along, deep, length);
        else place(items[i], x + along, y, length, deep);
        along += length;
        left -= items[i][measure];
      }
      if (width >= height) { x += deep; width -= deep; } else { y += deep; height -= deep; }
    }
  }

  function draw(node, x, y, width, height, depth) {
    if (width < 2 || height < 2) return;
    const box = make("div", width > 24 && height > 13 ? node.name : undefined, at("map"));
    Object.assign(box.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    box.node = node;
    const opens = node.kind === null && depth < 4 && width > 40 && height > 36;
    box.className = opens ? "holder" : `kind${node.kind === null ? node.main : node.kind}`;
    if (opens) fill(node, x + 3, y + 16, width - 6, height - 19, depth + 1);
  }

  function fill(node, x, y, width, height, depth) {
    const items = node.children.filter(child => child[measure] > 0).sort((a, b) => b[measure] - a[measure]);
    squarify(items, x, y, width, height, (child, ...where) => draw(child, ...where, depth));
  }

  function table() {
    const value = node => order.by === "name" ? node.name : order.by === "share" ? node[measure] : node[order.by];
    const compare = (a, b) => value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0;
    const children = [...here.children].sort((a, b) => order.up ? compare(a, b) : compare(b, a));
    at("rows").replaceChildren();
    for (const node of children.slice(0, 2000)) {
      const row = make("tr", undefined, at("rows")), name = make("td", undefined, row);
      if (node.kind === null) make("button", node.name, name).onclick = () => enter(node);
      else name.textContent = node.name;
      for (const text of [node.files, size(node.unzipped), size(node.zipped), percent(node[measure], root[measure])]) make("td", text, row);
    }
    if (children.length > 2000) make("td", `and ${children.length - 2000} more`, make("tr", undefined, at("rows")));
    for (const head of document.querySelectorAll("th")) {
      if (head.dataset.by === order.by) head.setAttribute("aria-sort", order.up ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  function show() {
    at("path").replaceChildren();
    path(here).forEach((node, i) => {
      if (i) at("path").append(" / ");
      make("button", node.name, at("path")).onclick = () => enter(node);
    });
    at("path").append(` - ${size(here[measure])} ${measure}`);
    at("map").replaceChildren();
    at("hover").hidden = true;
    fill(here, 0, 0, at("map").clientWidth, at("map").clientHeight, 1);
    table();
  }

  function enter(node) {
    // A folder that holds one folder and nothing else shows nothing of its own.
    while (node.children.length === 1 && node.children[0].kind === null) node = node.children[0];
    here = node;
    show();
  }

  at("map").onclick = event => {
    const node = event.target.node;
    if (!node) return;
    const holder = node.kind === null ? node : node.above;
    if (holder !== here) enter(holder);
  };
  at("map").onmousemove = event => {
    const node = event.target.node, hover = at("hover");
    hover.hidden = !node;
    if (!node) return;
    const kind = node.kind === null ? `${node.files} files` : data.kinds[node.kind];
    hover.textContent = `${path(node).slice(1).map(part => part.name).join(" / ")}\n${size(node.unzipped)} unzipped, ${size(node.zipped)} zipped, ${kind}, ${percent(node[measure], root[measure])} of the zip`;
    hover.style.left = `${Math.max(0, Math.min(event.clientX + 14, innerWidth - hover.offsetWidth - 8))}px`;
    hover.style.top = `${Math.max(0, Math.min(event.clientY + 14, innerHeight - hover.offsetHeight - 8))}px`;
  };
  at("map").onmouseleave = () => { at("hover").hidden = true; };
  at("measure").onchange = () => { measure = at("measure").value; show(); };
  document.onkeydown = event => {
    if (event.key !== "Escape" || here === root) return;
    // Out of a chain of single folders as it was gone into.
    let out = here.above;
    while (out !== root && out.children.length === 1) out = out.above;
    here = out;
    show();
  };
  for (const head of document.querySelectorAll("th")) {
    head.onclick = () => {
      const by = head.dataset.by;
      order = { by, up: order.by === by ? !order.up : by === "name" };
      table();
    };
  }
  addEventListener("resize", show);

  at("totals").textContent = `${size(data.zip.zipped)} zipped, ${size(data.zip.unzipped)} unzipped, ${data.zip.files} files, sha256 ${data.zip.sha256}`;
  for (const [name, bytes, limit] of [
    ["Unzipped, of what a function and its layers may have", data.zip.unzipped, data.budget.unzipped_limit],
    ["Zipped, of what an upload without S3 may have", data.zip.zipped, data.budget.direct_limit],
  ]) {
    make("dt", name, at("budget"));
    const meter = make("meter", percent(bytes, limit), make("dd", undefined, at("budget")));
    Object.assign(meter, { max: limit, high: limit * 0.9, low: limit * 0.7, optimum: 0, value: bytes });
    make("dd", `${size(bytes)} of ${size(limit)} (${percent(bytes, limit)})`, at("budget"));
  }
  data.kinds.forEach((kind, i) => {
    if (!root.byKind[i]) return;
    const item = make("span", undefined, at("legend"));
    make("i", undefined, item).className = `kind${i}`;
    item.append(`${kind} ${size(root.byKind[i])}`);
  });
  make("span", "Click to go in, Escape to go out.", at("legend"));
  enter(root);
})();
