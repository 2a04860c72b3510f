"use strict";
// The state bar, the robot's buttons, and what holds the page together.
function render(state) {
  document.body.dataset.mode = state.mode;
  document.body.toggleAttribute("data-dry", state.is_dry);
  document.title = `${state.headline} · ${state.deployment}`;
  $("headline").textContent = state.headline;
  $("detail").textContent = state.detail;
  $("where").textContent = `${state.deployment} · ${state.has_twin ? "in the twin" : "real robot"}`;
  if (state.stop.text || !$("stop-word").classList.contains("bad") || talk.isOpen) showStopWord(state.stop.kind, state.stop.text);
  $("clock").textContent = state.clock.text;
  $("clock").classList.toggle("stale", state.clock.stale);
  $("told").textContent = state.instruction ? `told: ${state.instruction}` : "told nothing: the policy rests";
  const said = state.answers[0];
  $("said").className = said && !said.ok ? "no" : "muted";
  $("said").textContent = said ? `${said.at} ${said.request.replaceAll("_", " ")}: ${said.text}` : "";
  $("said").title = $("said").textContent;
  $("instructing").hidden = Boolean(state.desk && state.desk.trial);  // in a protocol's trial, the protocol says it
  $("scene").hidden = !state.has_twin || Boolean(state.desk && state.desk.trial);
  renderScene(state.scene);
  renderTiles(state);
  renderTrial(state);
  renderPane(state);
}

let sceneShown = null;
function renderScene(scene) {
  if (scene.seed === undefined || scene.seed === sceneShown) return;
  if (sceneShown !== null || !$("instruction").value) $("instruction").value = scene.instruction;
  sceneShown = scene.seed;
  $("scene-word").textContent = `scene ${scene.seed} is set`;
  know(scene.instruction);
}

function know(text) {
  if (text && ![...$("known").children].some(option => option.value === text)) $("known").prepend(element("option", { value: text }));
}

function tell(text) {
  press("instruct", { text });
  know(text);
}
$("tell").addEventListener("click", () => tell($("instruction").value.trim()));
$("idle").addEventListener("click", () => tell(""));
$("instruction").addEventListener("keydown", event => { if (event.key === "Enter") { tell(event.target.value.trim()); event.target.blur(); } });
$("place").addEventListener("click", () => { sceneShown = -1; press("place", { seed: Number($("seed").value) || 0 }); });
for (const each of document.querySelectorAll("[data-do]")) each.addEventListener("click", () => press(each.dataset.do));
$("keys").append("Stop: ", element("kbd", { text: "space" }), " or ", element("kbd", { text: "Esc" }), " while you type.");

// The 3D view runs apart from this page, without its origin: what is slow there delays no button here. A console that was
// started anew has another key for it.
let viewKey = $("view").dataset.key;
function openView() {
  const query = "?key=" + encodeURIComponent(viewKey);
  $("view").src = `/view/${query}&websocket=${encodeURIComponent(ORIGIN + "/view" + query)}`;
}
async function refreshView() {
  if (!viewKey) return;
  const answer = await fetch(location.href).catch(() => null);
  if (!answer || !answer.ok) return;
  const key = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("view").dataset.key;
  if (key && key !== viewKey) { viewKey = key; openView(); }
}
if (viewKey) {
  addEventListener("message", event => { if (event.source === $("view").contentWindow && event.data === "stop") stopNow(); });
  openView();
} else {
  $("view-card").hidden = true;
  $("tiles").classList.add("alone");
}
