"use strict";
// The trial panel: a protocol's trial if one waits at the desk, else a recording by hand.
let trialShown = "", draft = {}, wantsBox = false, targetBox = null;

const key = letter => element("kbd", { text: letter });
const button = (text, letter, onclick, kind) => element("button", { class: kind || "", onclick, "data-key": letter || "" }, text, letter ? key(letter) : null);

function renderTrial(state) {
  const desk = state.desk && state.desk.trial ? state.desk : null;
  document.body.classList.toggle("in-trial", Boolean(desk));
  const isOver = state.desk && state.desk.phase === "idle";
  const shape = desk ? JSON.stringify([desk.phase, desk.trial.number, desk.trial.attempt, desk.refusal]) : JSON.stringify(["hand", state.recorder.state, isOver]);
  if (shape !== trialShown) {
    const isNew = !desk || trialShown.slice(0, 12) !== shape.slice(0, 12) || !desk.refusal;
    trialShown = shape;
    if (isNew && !(desk && desk.refusal)) draft = { sub_tasks: {} };
    wantsBox = Boolean(desk && desk.phase === "set up" && desk.trial.needs_target_box);
    document.body.classList.toggle("boxing", wantsBox);
    if (!wantsBox || !(desk && desk.refusal)) showBox(null);
    $("trial-body").replaceChildren(...(desk ? deskPanel(desk) : handPanel(state, isOver)).filter(Boolean));
    cropPicture();
  }
  $("trial-title").textContent = desk ? `Trial ${desk.trial.number} of ${desk.trial.total}` : "Recording";
  const chip = $("trial-chip");
  if (desk) {
    const isSilent = desk.silent_s > 2;
    chip.className = "chip" + (isSilent ? " bad" : "");
    chip.textContent = isSilent ? "trials silent" : `policy ${desk.trial.policy}` + (desk.trial.attempt > 1 ? ` · attempt ${desk.trial.attempt}` : "");
  } else {
    chip.className = "chip" + (state.recorder.state === "recording" ? " on" : state.recorder.state === "ready" ? "" : " bad");
    chip.textContent = state.recorder.state;
  }
  refreshTrial(state, desk);
}

function refreshTrial(state, desk) {
  const live = $("trial-live");
  if (!live) return;
  if (desk) { live.textContent = desk.run ? (desk.run.phase ? `phase: ${desk.run.phase}` : "running") : "starting"; return; }
  const made = element("div", {}, facts([["recorder", state.recorder.text], ...state.recorder.facts], "pairs"),
    state.recorder.problems.length ? element("ul", { class: "problems" }, ...state.recorder.problems.map(text => element("li", { text }))) : null);
  if (live.innerHTML !== made.innerHTML) live.replaceChildren(...made.childNodes);
}

function handPanel(state, isOver) {
  const isRecording = state.recorder.state === "recording";
  const note = element("input", { id: "note", placeholder: "note for this episode", autocomplete: "off" });
  return [
    isOver ? element("p", { class: "muted", text: "between trials of the protocol" }) : null,
    element("div", { id: "trial-live" }),
    element("div", { class: "row buttons" },
      isRecording ? button("End", "E", () => press("record_stop")) : button("Record", "R", () => press("record_start"), "main"),
      button("Success", "S", () => press("record_success"), "good"), button("Failure", "F", () => press("record_failure"), "wrong"),
      button("Discard", "", () => press("record_discard"))),
    element("div", { class: "field" }, element("span", { class: "row" }, note,
      element("button", { text: "Note", onclick: () => { if (note.value.trim()) press("note", { text: note.value }); note.value = ""; } }))),
  ];
}

const answer = (desk, say, more) => press("desk", { answer: { say, trial: desk.trial.number, attempt: desk.trial.attempt, ...more } });

function checks(items, onchange, checked) {
  return element("ul", { class: "checks" }, ...items.map(([name, text]) => element("li", {}, element("label", {},
    element("input", { type: "checkbox", checked: Boolean(checked && checked[name]), "data-name": name, onchange: event => onchange(name, event.target.checked) }),
    element("span", { text })))));
}

function deskPanel(desk) {
  const trial = desk.trial;
  const parts = [element("p", { class: "instruction", text: trial.instruction }),
    element("p", { class: "muted", text: [trial.task, trial.setting, `at most ${trial.timeout_s} s`].map(word => word.replaceAll("_", " ")).join(" · ") })];
  if (desk.refusal) parts.push(element("ul", { class: "problems" }, element("li", { text: desk.refusal })));
  const made = { "set up": setUpPanel, running: runningPanel, judge: judgePanel }[desk.phase];
  if (made) parts.push(...made(desk));
  return parts;
}

function setUpPanel(desk) {
  const trial = desk.trial, picture = element("div", { class: "picture" });
  const unchanged = trial.environment.filter(([what]) => !trial.changes.some(([changed]) => changed === what));
  picture.innerHTML = trial.picture;
  return [
    ...trial.changes.map(([what, value]) => element("div", { class: "change", text: `change now: ${what} → ${value}` })),
    trial.needs_target_box ? element("div", { class: "change", id: "box-word", text: BOX_WANTED }) : null,
    unchanged.length ? facts(unchanged) : null,
    trial.checklist.length ? element("h3", { text: "Before the trial" }) : null,
    checks(trial.checklist.map(text => [text, text]), allowReady),
    element("h3", { text: "What goes where" }),
    picture,
    element("div", { class: "row actions" },
      element("button", { id: "ready", class: "main", "data-key": "R", disabled: trial.checklist.length > 0 || trial.needs_target_box,
        onclick: () => answer(desk, "ready", targetBox ? { target: targetBox } : {}) }, "Scene is ready: run", key("R")),
      element("button", { text: "End session", title: "The session can be resumed at this trial", onclick: event => askTwice(event.target, () => answer(desk, "leave")) })),
  ];
}

function cropPicture() {  // what is drawn, without the paper around it
  const drawn = document.querySelector(".picture svg [id^=axes]");
  if (!drawn) return;
  const { x, y, width, height } = drawn.getBBox();
  drawn.closest("svg").setAttribute("viewBox", [x, y, width, height].join(" "));
}

function askTwice(button, act) {  // not by a dialog: no key stops the robot while one is open
  if (button.classList.contains("wrong")) { act(); return; }
  const text = button.textContent;
  button.textContent = "Press again to end";
  button.classList.add("wrong", "chosen");
  setTimeout(() => { button.textContent = text; button.classList.remove("wrong", "chosen"); }, 4000);
}

function allowReady() {
  const isUnchecked = [...document.querySelectorAll("#trial-body .checks input")].some(box => !box.checked);
  if ($("ready")) $("ready").disabled = isUnchecked || (wantsBox && !targetBox);
}

// A trial that is prompted by a mask: the operator draws a box around its target in one camera's picture.
const BOX_WANTED = "draw a box around the target in a camera picture";
const boxFrame = element("i", { class: "box" });
function showBox(box) {
  targetBox = box;
  if (!box) boxFrame.remove();
  if ($("box-word")) $("box-word").textContent = box ? `target: a box of ${box.width_px} × ${box.height_px} px in '${box.camera}'` : BOX_WANTED;
  allowReady();
}
$("tiles").addEventListener("pointerdown", event => {
  const figure = event.target.closest(".tile");
  if (!wantsBox || !figure || !figure.dataset.size) return;
  event.preventDefault();
  figure.setPointerCapture(event.pointerId);
  const area = figure.getBoundingClientRect(), [width, height] = figure.dataset.size.split(" ").map(Number);
  const isWhole = getComputedStyle(figure.querySelector("img")).objectFit === "contain";  // else the picture covers its tile
  const scale = (isWhole ? Math.min : Math.max)(area.width / width, area.height / height);
  const inside = e => [Math.min(Math.max(e.clientX - area.left, 0), area.width), Math.min(Math.max(e.clientY - area.top, 0), area.height)];
  const along = (at, side, count) => Math.min(Math.max(Math.round((at - (side - scale * count) / 2) / scale), 0), count);
  const pixel = ([x, y]) => [along(x, area.width, width), along(y, area.height, height)];
  const from = inside(event);
  figure.append(boxFrame);
  const draw = e => {
    const to = inside(e), low = [0, 1].map(i => Math.min(from[i], to[i])), size = [0, 1].map(i => Math.abs(from[i] - to[i]));
    Object.assign(boxFrame.style, { left: low[0] + "px", top: low[1] + "px", width: size[0] + "px", height: size[1] + "px" });
    return [pixel(low), pixel([low[0] + size[0], low[1] + size[1]])];
  };
  figure.onpointermove = draw;
  figure.onpointerup = e => {
    figure.onpointermove = figure.onpointerup = null;
    const [[x, y], [right, bottom]] = draw(e);
    showBox(right - x > 3 && bottom - y > 3 ? { camera: figure.dataset.camera, x_px: x, y_px: y, width_px: right - x, height_px: bottom - y } : null);
  };
});

function runningPanel(desk) {
  return [element("p", { class: "muted", text: `success means: ${desk.trial.success}` }), element("p", { id: "trial-live", text: "starting" }),
    element("div", { class: "row" }, button("End trial", "E", () => answer(desk, "end"), "main")),
    element("p", { class: "muted", text: "the arm is brought to rest; STOP latches" })];
}

function judgePanel(desk) {
  const trial = desk.trial;
  const choose = outcome => {
    draft.outcome = outcome;
    for (const other of document.querySelectorAll("[data-outcome]")) other.classList.toggle("chosen", other.dataset.outcome === outcome);
    if (outcome === "success") for (const box of document.querySelectorAll("#steps input")) { box.checked = true; draft.sub_tasks[box.dataset.name] = true; }
    $("why").hidden = outcome === "success";
    $("because").hidden = outcome !== "invalid";
    allowSave();
  };
  const allowSave = () => { $("save").disabled = !draft.outcome || (draft.outcome !== "success" && !draft.failure); };
  const blame = kind => {
    draft.failure = kind;
    for (const other of document.querySelectorAll("#why button")) other.classList.toggle("chosen", other.dataset.kind === kind);
    allowSave();
  };
  const outcome = (name, text, letter, kind) => element("button", { class: kind + (draft.outcome === name ? " chosen" : ""), "data-outcome": name, "data-key": letter, onclick: () => choose(name) }, text, key(letter));
  const steps = element("div", { id: "steps" }, element("h3", { text: "Done, in order" }),
    checks(trial.sub_tasks.map(step => [step.name, step.text]), (name, isDone) => { draft.sub_tasks[name] = isDone; }, draft.sub_tasks));
  return [
    element("p", {}, `ended after ${desk.ended.sim_s.toFixed(1)} s: `, element("b", { text: desk.ended.by }), desk.ended.reason ? ` · ${desk.ended.reason}` : ""),
    element("p", { class: "muted", text: `success means: ${trial.success}` }),
    element("div", { class: "row buttons" }, outcome("success", "Success", "S", "good"), outcome("failure", "Failure", "F", "wrong"), outcome("invalid", "Invalid", "I", "")),
    element("div", { class: "row kinds", id: "why", hidden: !draft.outcome || draft.outcome === "success" },
      ...trial.failures.map((kind, at) => element("button", { class: draft.failure === kind ? "chosen" : "", "data-kind": kind, "data-key": String(at + 1), onclick: () => blame(kind) }, kind.replaceAll("_", " "), key(String(at + 1))))),
    element("input", { id: "because", hidden: draft.outcome !== "invalid", style: "width: 100%; margin-top: 7px", placeholder: "why it does not count (it will be repeated)", value: draft.because || "", oninput: event => { draft.because = event.target.value; } }),
    trial.sub_tasks.length ? steps : null,
    element("textarea", { placeholder: "note", oninput: event => { draft.note = event.target.value; } }, draft.note || ""),
    element("div", { class: "row actions" }, element("button", { id: "save", class: "main", "data-key": "Enter", disabled: !draft.outcome || (draft.outcome !== "success" && !draft.failure), onclick: () => answer(desk, "judge", draft) }, "Save and go on", key("Enter"))),
  ];
}

document.addEventListener("keydown", event => {
  if (isTyping(event.target) || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const wanted = event.key === "Enter" ? "Enter" : event.key.toUpperCase();
  const found = document.querySelector(`#trial-body [data-key="${CSS.escape(wanted)}"]`);
  if (found && !found.disabled && wanted && found.getClientRects().length) { event.preventDefault(); found.click(); }
});
