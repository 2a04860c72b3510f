"use strict";
// Three lines to the console, each opened anew when it breaks: STOP alone, the other buttons with the state, pictures.
const RETRY_MS = 500, SILENT_MS = 700, BEAT_MS = 1000;
const TOKEN = new URLSearchParams(location.search).get("token");
const QUERY = TOKEN ? "?token=" + encodeURIComponent(TOKEN) : "";
const ORIGIN = location.origin.replace(/^http/, "ws");

function line(path, onMessage, onChange) {
  const self = { socket: null, isOpen: false };
  const open = () => {
    const socket = new WebSocket(ORIGIN + path + QUERY);
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { self.isOpen = true; onChange(true); };
    socket.onmessage = event => onMessage(event.data, socket);
    socket.onclose = () => { self.isOpen = false; onChange(false); setTimeout(open, RETRY_MS); };
    self.socket = socket;
  };
  self.send = text => { if (self.isOpen) self.socket.send(text); return self.isOpen; };
  open();
  return self;
}

let lastState = 0, stopHeard = 0;
const stopLine = line("/stop", text => { if (text) stopHeard = performance.now(); }, () => {});
setInterval(() => stopLine.send(""), BEAT_MS);  // a line that is dead is found out before it is needed

function press(action, more) {
  const wasSent = talk.send(JSON.stringify({ do: action, ...more }));
  if (!wasSent) showNotSent(action);
  return wasSent;
}

function showNotSent(action) {  // STOP has a word of its own
  const said = document.getElementById("said");
  said.className = "no";
  said.textContent = `not sent, no connection: ${action.replaceAll("_", " ")}`;
}

function stopNow() {
  const wasSent = [stopLine.send("stop"), press("stop")].some(Boolean);
  const button = document.getElementById("stop");
  button.classList.add("pressed");
  setTimeout(() => button.classList.remove("pressed"), 250);
  if (!wasSent) showStopWord("bad", "NOT SENT: press the hardware button");
}

function showStopWord(kind, text) {
  const word = document.getElementById("stop-word");
  word.className = kind;
  word.textContent = text;
}

const isTyping = target => target && (/^(TEXTAREA|SELECT)$/.test(target.tagName) ||
  (target.tagName === "INPUT" && !/^(checkbox|radio|button)$/.test(target.type)));

function onKeyDown(event) {
  const isSpace = event.code === "Space" && !isTyping(event.target);
  if (isSpace || event.code === "Escape") {
    event.preventDefault();
    event.stopPropagation();
    if (!event.repeat) stopNow();
  }
}
function onKeyUp(event) {  // a focused button must not be pressed by the key that stops
  if (event.code === "Space" && !isTyping(event.target)) event.preventDefault();
}
addEventListener("keydown", onKeyDown, true);
addEventListener("keyup", onKeyUp, true);
document.getElementById("stop").addEventListener("pointerdown", event => { event.preventDefault(); stopNow(); });
document.getElementById("stop").addEventListener("click", event => { if (!event.detail) stopNow(); });
document.addEventListener("focusin", event => {
  document.querySelector("#stop small").textContent = isTyping(event.target) ? "Esc" : "space";
});
document.addEventListener("focusout", () => { document.querySelector("#stop small").textContent = "space"; });

const talk = line("/ws", text => { lastState = performance.now(); render(JSON.parse(text)); }, isOpen => isOpen ? refreshView() : showOffline());
setInterval(() => { if (performance.now() - lastState > SILENT_MS) showOffline(); }, 200);

function showOffline() {
  if (document.body.dataset.mode === "offline") return;
  document.body.dataset.mode = "offline";
  document.getElementById("headline").textContent = "NO CONNECTION";
  document.getElementById("detail").textContent = "this page hears nothing from the console; the robot goes on without it";
}
