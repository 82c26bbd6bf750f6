// Draws what the page embeds. Text reaches the page as text nodes only: names come from a container.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const kinds = data.classes, by = new Intl.NumberFormat("en");
  const CELLS = 80, INNER = 30, ROWS = 25, SLIVER = 0.004, LABEL = 20;

  function make(name, given = {}, ...inside) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(given)) {
      if (key === "class") made.className = value;
      else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else made.setAttribute(key, value);
    }
    made.append(...inside);
    return made;
  }
  const part = (id) => document.getElementById(id);

  function size(bytes) {
    if (bytes < 1000) return `${bytes} B`;
    const units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let unit = -1;
    do { bytes /= 1024; unit++; } while (bytes >= 999.5 && unit < units.length - 1);
    return `${bytes < 99.95 ? bytes.toFixed(1) : bytes.toFixed(0)} ${units[unit]}`;
  }
  const weighed = (weight) => data.bytes ? size(weight) : `${by.format(weight)} ${weight === 1 ? "path" : "paths"}`;
  const share = (some, all) => all ? Math.round(100 * some / all) : 0;

  // The bar above the legend.
  const drawn = kinds.map((_, kind) => kind).filter((kind) => kinds[kind].drawn);
  function bands(sums) {
    const all = drawn.reduce((sum, kind) => sum + sums[kind], 0);
    return drawn.filter((kind) => sums[kind] > all * SLIVER).map((kind) => {
      const band = make("i", {class: `k-${kinds[kind].key}`});
      band.style.flexGrow = sums[kind];
      return band;
    });
  }
  part("bar").append(...bands(data.sums.map((one) => one[data.bytes ? 1 : 0])));

  // The tree of directories, with the sums of all that is below.
  const node = (path, up) => ({path, up, kids: new Map(), files: null, sums: kinds.map(() => 0), count: 0});
  const root = node("/", null);
  function directory(path) {
    let at = root;
    for (const name of path.split("/").slice(1)) {
      let next = at.kids.get(name);
      if (!next) at.kids.set(name, next = node(`${at.path === "/" ? "" : at.path}/${name}`, at));
      at = next;
    }
    return at;
  }
  for (const group of data.files) {
    const own = directory(group[0]), sums = kinds.map(() => 0);
    let count = 0;
    own.files = group;
    group[3].forEach((weight, index) => {
      const kind = +group[2][index];
      if (!kinds[kind].drawn) return;
      count++;
      if (weight > 0) sums[kind] += weight;
    });
    for (let at = own; at; at = at.up) {
      at.count += count;
      sums.forEach((sum, kind) => { at.sums[kind] += sum; });
    }
  }
  const weight = (one) => one.sums.reduce((sum, each) => sum + each, 0);

  function contents(at, most) {
    const found = [...at.kids.values()].map((kid) => ({kid, label: `${kid.path.slice(kid.path.lastIndexOf("/") + 1)}/`,
      path: kid.path, sums: kid.sums, weight: weight(kid), count: kid.count}));
    if (at.files) at.files[1].forEach((name, index) => {
      const kind = +at.files[2][index], own = at.files[3][index];
      if (!kinds[kind].drawn || own <= 0) return;
      const sums = kinds.map(() => 0);
      sums[kind] = own;
      found.push({label: name || "/", path: `${at.files[0]}/${name}`, sums, weight: own, count: 1});
    });
    const kept = found.filter((one) => one.weight > 0).sort((a, b) => b.weight - a.weight);
    const rest = kept.splice(most);
    if (rest.length) {
      const sums = kinds.map((_, kind) => rest.reduce((sum, one) => sum + one.sums[kind], 0));
      kept.push({label: `${by.format(rest.length)} smaller ones`, path: "", sums,
        weight: rest.reduce((sum, one) => sum + one.weight, 0), count: rest.reduce((sum, one) => sum + one.count, 0)});
      kept.sort((a, b) => b.weight - a.weight);
    }
    return kept;
  }

  // Squarified treemap: Bruls, Huizing, van Wijk, 2000. Gives [item, x, y, width, height] in the units of the given box.
  function squarify(items, width, height) {
    const placed = [], total = items.reduce((sum, one) => sum + one.weight, 0);
    const areas = items.map((one) => one.weight / total * width * height);
    let x = 0, y = 0, from = 0;
    const worst = (sum, most, least, side) => Math.max(side * side * most / (sum * sum), sum * sum / (side * side * least));
    while (from < items.length) {
      const side = Math.min(width, height);
      let to = from + 1, sum = areas[from], at = worst(sum, areas[from], areas[from], side);
      while (to < items.length) {
        const next = worst(sum + areas[to], areas[from], areas[to], side);
        if (next > at) break;
        sum += areas[to++];
        at = next;
      }
      const thick = side > 0 ? sum / side : 0, upright = width >= height;
      for (let along = 0; from < to; from++) {
        const long = thick > 0 ? areas[from] / thick : 0;
        placed.push(upright ? [items[from], x, y + along, thick, long] : [items[from], x + along, y, long, thick]);
        along += long;
      }
      if (upright) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    }
    return placed;
  }

  const crumbs = make("nav", {class: "crumbs", "aria-label": "Directory shown"});
  const map = make("div", {class: "map", role: "group", "aria-label": "Treemap of directories"});
  const told = make("p", {class: "told", "aria-live": "polite"});
  let here = root;

  function sentence(one) {
    const all = weight(one), marks = drawn.filter((kind) => one.sums[kind] > 0)
      .map((kind) => `${kinds[kind].mark} ${kinds[kind].words} ${share(one.sums[kind], all)} %`);
    const number = data.bytes && one.count !== 1 ? ` in ${by.format(one.count)} files` : "";
    return `${one.path || one.label}: ${weighed(all)}${number}. ${marks.join(", ")}`;
  }
  function place(box, x, y, width, height, across, down) {
    Object.assign(box.style, {left: `${100 * x / across}%`, top: `${100 * y / down}%`,
      width: `${100 * width / across}%`, height: `${100 * height / down}%`});
  }
  // A big directory shows what is in it, and so on inside; a small one the shares of its classes.
  function fill(box, one, width, height, named) {
    const labelled = named && width > 34 && height > LABEL;
    if (one.kid && width > 90 && height > 70) {
      const top = labelled ? LABEL : 0;
      for (const [inner, x, y, wide, high] of squarify(contents(one.kid, INNER), width - 2, height - 2 - top)) {
        const cell = make("i", {class: "inner"});
        fill(cell, inner, wide, high, wide > 60 && high > 40);
        place(cell, x, y + top, wide, high, width - 2, height - 2);
        box.append(cell);
      }
    } else box.append(...bands(one.sums));
    if (labelled) box.append(make("span", {}, one.label));
  }
  function show(at, focus) {
    here = at;
    const trail = [];
    for (let one = at; one; one = one.up) trail.unshift(one);
    crumbs.replaceChildren(...trail.map((one) => {
      const name = one.up ? one.path.slice(one.path.lastIndexOf("/") + 1) : "/";
      const crumb = make("button", {type: "button", onclick: () => show(one, true)}, name);
      if (one === at) crumb.setAttribute("aria-current", "location");
      return crumb;
    }));
    const wide = map.clientWidth || 600, high = map.clientHeight || 400;
    map.replaceChildren(...squarify(contents(at, CELLS), wide, high).map(([one, x, y, width, height]) => {
      const words = sentence(one);
      const cell = make("button", {type: "button", class: "cell", "aria-label": words, onclick: () => choose(one),
        onfocus: () => { told.textContent = words; }, onmouseenter: () => { told.textContent = words; }});
      fill(cell, one, width, height, true);
      place(cell, x, y, width, height, wide, high);
      return cell;
    }));
    told.textContent = weight(at) ? sentence(at) : "Nothing here.";
    if (focus) (map.firstElementChild || crumbs.lastElementChild).focus();
  }
  function choose(one) {
    if (one.kid) return show(one.kid, true);
    if (one.path) searchFiles(one.path);
  }
  map.addEventListener("keydown", (event) => {
    if ((event.key === "Escape" || event.key === "Backspace") && here.up) {
      event.preventDefault();
      show(here.up, true);
    }
  });
  part("map").append(make("p", {}, `Area is ${data.bytes ? "bytes on disk" : "the number of paths"}; the stripes of a box show `
    + "how what is in it was used. Choose a box to go into it, a path above to go back (Escape: one up)."), crumbs, map, told);
  show(root, false);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => show(here, false), 150); });

  // A table that is searched and sorted as a whole, and drawn some rows at a time.
  function listing(caption, columns, match, cells) {
    let found = [], shown = 0, column = -1, down = true;
    const body = make("tbody"), count = make("span", {role: "status"});
    const more = make("button", {type: "button", class: "more", onclick: () => grow(ROWS * 8)}, "Show more");
    const heads = columns.map((one, index) => {
      const head = make("th", {scope: "col", class: one.number ? "n" : ""});
      head.append(one.key ? make("button", {type: "button", onclick: () => order(index)}, one.title) : one.title);
      return head;
    });
    function grow(number) {
      const made = document.createDocumentFragment();
      for (const one of found.slice(shown, shown + number)) {
        made.append(make("tr", {}, ...cells(one).map((inside, index) =>
          make("td", {class: columns[index].kind || (columns[index].number ? "n" : "")}, inside))));
      }
      shown = Math.min(found.length, shown + number);
      body.append(made);
      more.hidden = shown >= found.length;
      count.textContent = shown < found.length ? `${by.format(shown)} of ${by.format(found.length)} shown`
        : `${by.format(found.length)} shown`;
    }
    function sort() {
      if (column < 0) return;
      const key = columns[column].key;
      const keyed = found.map((one) => [key(one), one]);
      const sign = down ? -1 : 1;
      keyed.sort((a, b) => a[0] < b[0] ? -sign : a[0] > b[0] ? sign : 0);
      found = keyed.map((one) => one[1]);
    }
    function order(index) {
      down = column === index ? !down : Boolean(columns[index].number);
      column = index;
      heads.forEach((head, at) => {
        if (at === index) head.setAttribute("aria-sort", down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
        const button = head.querySelector("button");
        if (button) button.textContent = columns[at].title + (at === index ? (down ? " ▼" : " ▲") : "");
      });
      refresh();
    }
    function refresh() {
      found = match();
      sort();
      shown = 0;
      body.replaceChildren();
      grow(ROWS);
    }
    const box = make("div", {class: "scroll", role: "region", tabindex: "0", "aria-label": caption},
      make("table", {}, make("thead", {}, make("tr", {}, ...heads)), body));
    return {refresh, order, parts: [count, box, more]};
  }
  function search(label, act) {
    let waiting = 0;
    const input = make("input", {type: "search", autocomplete: "off", spellcheck: "false",
      oninput: () => { clearTimeout(waiting); waiting = setTimeout(act, 120); }});
    return [input, make("label", {}, label, input)];
  }
  function choice(label, options, act) {
    const select = make("select", {onchange: act}, make("option", {value: ""}, "all"),
      ...options.map(([value, words]) => make("option", {value}, words)));
    return [select, make("label", {}, label, select)];
  }

  if (part("packages")) {
    const uses = [...new Set(data.packages.map((one) => one[3]))].sort();
    const [input, label] = search("Search packages", () => list.refresh());
    const [use, useLabel] = choice("Use", uses.map((one) => [one, one]), () => list.refresh());
    const lower = (at) => (one) => one[at].toLowerCase(), number = (at) => (one) => one[at];
    const list = listing("Packages", [
      {title: "Package", key: lower(0), kind: "name"}, {title: "Use", key: lower(3), kind: "use"},
      {title: "Size", key: number(6), number: true}, {title: "Not seen in use", key: number(7), number: true},
      {title: "Files", key: number(4), number: true}, {title: "Not seen", key: number(5), number: true},
      {title: "Kind", key: lower(2)}, {title: "Version", key: lower(1)}, {title: "Why", kind: "why"},
    ], () => {
      const text = input.value.trim().toLowerCase();
      return data.packages.filter((one) => (!use.value || one[3] === use.value)
        && (!text || `${one[0]} ${one[1]} ${one[2]} ${one[8]}`.toLowerCase().includes(text)));
    }, (one) => [one[0], one[3], size(one[6]), size(one[7]), by.format(one[4]), by.format(one[5]), one[2], one[1], one[8]]);
    part("packages").append(make("div", {class: "tools"}, label, useLabel, list.parts[0]), list.parts[1], list.parts[2]);
    list.order(data.packages.some((one) => one[7] > 0) ? 3 : 2);
  }

  // Rows of files are [group, index]: a hundred thousand are listed without an object of strings for each.
  const pathOf = ([group, index]) => `${group[0]}/${group[1][index]}`;
  const present = kinds.map((kind, at) => [String(at), `${kind.mark} ${kind.words}`]).filter(([at]) => data.sums[at][0]);
  const [fileInput, fileLabel] = search("Search paths", () => files.refresh());
  const [fileKind, kindLabel] = choice("Use", present, () => files.refresh());
  const columns = [{title: "Path", key: pathOf, kind: "path"}, {title: "Use", key: ([group, index]) => group[2][index]}];
  if (data.bytes) columns.push({title: "Size", key: ([group, index]) => Math.abs(group[3][index]), number: true});
  const files = listing("Files", columns, () => {
    const text = fileInput.value.trim().toLowerCase(), wanted = fileKind.value, found = [];
    for (const group of data.files) {
      const above = `${group[0]}/`.toLowerCase(), every = above.includes(text);
      group[1].forEach((name, index) => {
        if (wanted && group[2][index] !== wanted) return;
        if (every || (above + name.toLowerCase()).includes(text)) found.push([group, index]);
      });
    }
    return found;
  }, (row) => {
    const [group, index] = row, kind = kinds[+group[2][index]], own = group[3][index];
    const mark = make("span", {class: `swatch k-${kind.key}`, "aria-hidden": "true"}, kind.mark);
    const use = make("span", {}, mark, ` ${kind.words}`);
    return data.bytes ? [pathOf(row), use, own < 0 ? `${size(-own)} (hard link)` : size(own)] : [pathOf(row), use];
  });
  part("files").append(make("div", {class: "tools"}, fileLabel, kindLabel, files.parts[0]), files.parts[1], files.parts[2]);
  files.refresh();
  function searchFiles(path) {
    fileInput.value = path;
    fileKind.value = "";
    files.refresh();
    fileInput.focus();
  }

  // Known files over time, as a step line: nothing was known before it was seen.
  if (data.growth) {
    const space = "http://www.w3.org/2000/svg", {start, end, points} = data.growth;
    const draw = (name, given, words = "") => {
      const made = document.createElementNS(space, name);
      for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
      made.textContent = words;
      return made;
    };
    const box = draw("svg", {role: "img", "aria-label": part("growth").textContent});
    const curve = () => {
      const wide = box.clientWidth || 600, high = box.clientHeight || 220, left = 56, right = wide - 8, low = high - 24;
      const most = points[points.length - 1][1], span = Math.max(end - start, 0.001);
      const x = (time) => (left + (right - left) * time / span).toFixed(1);
      const y = (number) => (low - (low - 14) * number / most).toFixed(1);
      const line = points.map(([time, number]) => `H${x(time)}V${y(number)}`).join("") + `H${right}`;
      const clock = (time) => new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ") + "Z";
      box.setAttribute("viewBox", `0 0 ${wide} ${high}`);
      box.replaceChildren(
        ...[0, 0.5, 1].flatMap((at) => [
          draw("line", {class: "axis", x1: left, x2: right, y1: y(most * at), y2: y(most * at)}),
          draw("text", {x: left - 6, y: +y(most * at) + 4, "text-anchor": "end"}, by.format(Math.round(most * at)))]),
        draw("path", {class: "area", d: `M${left} ${low}${line}V${low}Z`}),
        draw("path", {class: "line", d: `M${left} ${low}${line}`}),
        draw("text", {x: left, y: high - 6}, clock(start)),
        draw("text", {x: right, y: high - 6, "text-anchor": "end"}, wide < 420 ? clock(end).slice(11) : clock(end)));
    };
    part("growth").append(box);
    curve();
    addEventListener("resize", curve);
  }
})();
