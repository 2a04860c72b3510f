"use strict";
// Camera tiles, joints, diagnostics and log.
const $ = id => document.getElementById(id);
const tiles = {};

function element(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "text") made.textContent = value;
    else if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

function facts(pairs, kind) {
  return element("dl", { class: "facts " + (kind || "") }, ...pairs.flatMap(([what, value]) =>
    ["dt", "dd"].map((tag, at) => element(tag, { text: [what, value][at], class: value.length > 12 ? "wide" : "" }))));
}

function tile(name) {
  if (!tiles[name]) {
    const picture = element("img", { alt: "" }), badges = element("span", { class: "row" });
    const figure = element("figure", { class: "tile stale", "data-camera": name }, picture,
      element("figcaption", {}, element("b", { text: name }), badges));
    tiles[name] = { figure, picture, badges };
    $("tiles").append(figure);
  }
  return tiles[name];
}

const reader = new TextDecoder();
const pictures = line("/pictures", (data, socket) => {
  const bytes = new Uint8Array(data), length = bytes[0], name = reader.decode(bytes.subarray(1, 1 + length));
  const { picture } = tile(name), before = picture.src;
  picture.onload = picture.onerror = () => { if (before.startsWith("blob:")) URL.revokeObjectURL(before); socket.send("drawn"); };
  const kind = bytes[1 + length] === 0x89 ? "image/png" : "image/jpeg";
  picture.src = URL.createObjectURL(new Blob([bytes.subarray(1 + length)], { type: kind }));
}, () => {});

function renderTiles(state) {
  for (const camera of state.cameras) {
    const { figure, badges } = tile(camera.name);
    figure.classList.toggle("stale", camera.stale);
    figure.dataset.size = camera.size_px.join(" ");
    badges.replaceChildren(...camera.badges.map(([text, kind]) => element("span", { class: "badge " + kind, text })));
  }
  const start = tiles["start image"];
  if (start) {
    const score = state.desk && state.desk.score;
    start.figure.hidden = score === null || score === undefined;
    start.figure.classList.remove("stale");
    if (!start.figure.hidden) start.badges.replaceChildren(element("span", { class: "badge " + (score < 0.9 ? "warn" : ""),
      text: `alike ${Math.round(100 * score)} %` }));
  }
}

const panes = {
  policy(state) {
    const shown = [["policy", state.policy.text], ...state.policy.facts, ["verdicts", state.verdicts.counts]];
    const list = element("ul", { class: "problems" + (state.verdicts.last === "stop" ? "" : " calm") }, ...state.verdicts.reasons.map(text => element("li", { text })));
    return [facts(shown, "pairs"), list];
  },
  joints(state) {
    return state.arms.flatMap((arm, at) => [
      at ? element("div", { style: "height: 10px" }) : "", facts([[arm.name, arm.ee], ["gripper", arm.gripper]]), element("div", { style: "height: 6px" }),
      ...arm.joints.map(joint => element("div", { class: "joint" + (joint.near ? " near" : "") },
        element("span", { text: joint.name.replaceAll("_", " ") }),
        element("span", { class: "bar" }, joint.share === null ? null : element("i", { style: `left: ${100 * joint.share}%` })),
        element("span", { text: joint.text })))]);
  },
  diagnostics(state) {
    if (!state.nodes.length) return [element("p", { class: "muted", text: "no node has spoken on /diagnostics yet" })];
    return state.nodes.map(node => element("details", { class: "node " + node.level, "data-node": node.name, open: opened.has(node.name) },
      element("summary", {}, element("b", { text: node.name.split("/").pop() }), element("span", { text: node.message })),
      facts(node.values)));
  },
  log(state) {
    if (!state.answers.length) return [element("p", { class: "muted", text: "nothing has been pressed yet" })];
    return [element("div", { class: "log" }, ...state.answers.flatMap(answer => [element("time", { text: answer.at }),
      element("span", { text: answer.request.replaceAll("_", " ") }),
      element("span", { class: answer.ok ? "" : "no", text: answer.text })]))];
  },
};
const opened = new Set();
$("pane").addEventListener("click", event => {
  const summary = event.target.closest("summary");
  if (!summary) return;
  event.preventDefault();
  const name = summary.parentElement.dataset.node;
  if (!opened.delete(name)) opened.add(name);
  paneShown = "";
});

let chosenTab = "policy", paneShown = "";
$("tabs").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  chosenTab = button.dataset.tab;
  paneShown = "";
  for (const other of $("tabs").children) other.classList.toggle("chosen", other === button);
});

function renderPane(state) {
  const bad = state.nodes.filter(node => node.level === "error" || node.level === "silent").length;
  $("bad-nodes").textContent = bad || "";
  const made = element("div", {}, ...panes[chosenTab](state));
  if (made.innerHTML === paneShown) return;
  paneShown = made.innerHTML;
  const at = $("pane").scrollTop;
  $("pane").replaceChildren(...made.childNodes);
  $("pane").scrollTop = at;
}
