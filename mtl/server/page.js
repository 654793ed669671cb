"use strict";
// Whatever users and models wrote goes into text nodes and values of fields, never into markup.

const tasks = JSON.parse(document.getElementById("tasks").textContent);
const LETTERS = "ABCDEFGH";
const KEY = "mtl-serve-key";
const VERDICTS = { good: "Good", wrong_key: "Wrong key", unclear: "Unclear", wrong_level: "Wrong level", corrected: "I correct it" };
const ACTIVE = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
let working = null; // AbortController of the request that is answered now
let fields = 0;

const $ = (id) => document.getElementById(id);
const chosenTask = () => tasks.find((task) => task.name === $("task").value);
const shown = (text) => String(text).replace(ACTIVE, (found) => "\\u" + found.charCodeAt(0).toString(16).padStart(4, "0"));
const plural = (n, noun) => `${n} ${noun}${n === 1 ? "" : "s"}`;

function h(tag, properties, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

function labelled(label, input) {
  input.id = `field-${++fields}`;
  return h("div", {}, h("label", { htmlFor: input.id }, label), input);
}

function selectOf(choices, value) {
  const select = h("select", {}, ...choices.map((choice) => h("option", { value: choice }, choice)));
  select.value = value;
  return select;
}

// ---- the server

class Problem extends Error {
  constructor(what, advice) {
    super(what);
    this.advice = advice;
  }
}

const SAID = {
  404: (said) => new Problem(said.message ?? "The server does not know this.", said.hint ?? "Ask again, and use the new answer."),
  409: () => new Problem("Other feedback about this was kept before, and the first one stays.", "Ask again if you want to judge a new answer."),
  413: () => new Problem("This is larger than the server takes.", "Shorten the text, or ask about one part of it after the other."),
  429: (said, wait) => new Problem("The server has too much to do at the moment.", `Try again in ${wait ? plural(wait, "second") : "a minute"}.`),
  503: (said, wait) => new Problem(said.message ?? "The server cannot answer at the moment.", said.hint ?? `Try again in ${wait ? plural(wait, "second") : "a minute"}.`),
};

function problemOf(response, body) {
  const said = body?.error ?? {};
  const wait = Number.parseInt(response.headers.get("Retry-After"), 10);
  if (SAID[response.status]) return SAID[response.status](said, wait);
  if (response.status < 500) return refused(said);
  return new Problem(`The server failed (status ${response.status}).`, "Try again. If it goes on, tell whoever runs the server.");
}

function refused(said) {
  const long = said.field === "text" && said.hint?.includes("truncate") && "Shorten it, or let its end be left out.";
  return new Problem(said.message ?? "The server did not understand this.", long || (said.hint ?? "Change it, and try again."));
}

async function post(path, body, signal) {
  for (;;) {
    const key = sessionStorage.getItem(KEY);
    const headers = { "Content-Type": "application/json", ...(key ? { Authorization: `Bearer ${key}` } : {}) };
    let response, answer;
    try {
      response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
      answer = await response.json().catch((error) => (error instanceof SyntaxError ? null : Promise.reject(error)));
    } catch {
      if (signal?.aborted) throw new Problem("Stopped.", "Nothing was kept.");
      throw new Problem("The server cannot be reached.", "Check your connection, and try again. What you wrote is still here.");
    }
    if (response.ok && answer !== null) return answer;
    if (response.status !== 401) throw problemOf(response, answer);
    if (!(await askForKey(key !== null))) throw new Problem("This server answers only who has its key.", "Try again when you have it.");
  }
}

function askForKey(refused) {
  const login = $("login");
  $("login-title").textContent = refused ? "The server did not accept this key" : "This server asks for its key";
  $("login-refused").hidden = !refused;
  sessionStorage.removeItem(KEY);
  $("key").value = "";
  login.returnValue = "cancel";
  const before = document.activeElement;
  login.showModal();
  $("key").focus();
  return new Promise((resolve) =>
    login.addEventListener(
      "close",
      () => {
        const key = $("key").value.trim();
        $("key").value = "";
        before?.focus();
        if (login.returnValue === "use" && key) sessionStorage.setItem(KEY, key);
        resolve(login.returnValue === "use" && key !== "");
      },
      { once: true },
    ),
  );
}

function problem(error) {
  if (!(error instanceof Problem)) console.error(error);
  const [what, advice] = error instanceof Problem ? [error.message, error.advice] : ["This page failed.", "Load it again."];
  return h("div", { className: "error" }, h("p", {}, h("strong", {}, shown(what))), h("p", {}, shown(advice)));
}

// ---- the request

function parameterField(its) {
  const common = { name: its.name, title: its.description };
  if (its.kind === "choice") return Object.assign(selectOf(its.choices, its.value), common);
  if (its.kind === "checkbox") return h("input", { type: "checkbox", checked: its.value, ...common });
  if (its.kind === "text") return h("input", { value: its.value ?? "", ...common });
  const limits = { min: its.low ?? "", max: its.high ?? "", step: its.kind === "whole" ? 1 : "any" };
  return h("input", { type: "number", inputMode: its.kind === "whole" ? "numeric" : "decimal", required: true, ...limits, value: its.value, ...common });
}

function showParameters() {
  const task = chosenTask();
  const rows = task.parameters.map((its) => labelled(its.name, parameterField(its)));
  $("parameters").querySelector(".fields").replaceChildren(...rows);
  $("parameters").hidden = rows.length === 0;
  $("confirmed-choice").hidden = !task.confirmable;
}

function parametersOf(task) {
  const values = task.parameters.map((its) => {
    const input = $("parameters").querySelector(`[name="${CSS.escape(its.name)}"]`);
    if (its.kind === "checkbox") return [its.name, input.checked];
    return [its.name, ["whole", "number"].includes(its.kind) ? Number(input.value) : input.value];
  });
  return Object.fromEntries(values);
}

async function ask(event) {
  event.preventDefault();
  if (working) return working.abort();
  const task = chosenTask();
  const text = $("text").value;
  const body = { task: task.name, text, request: parametersOf(task), truncate: $("truncate").checked };
  if (task.quiz) body.marks = true;
  if (task.confirmable && $("confirmed").checked) body.candidates = 4;
  working = new AbortController();
  $("error").replaceChildren();
  $("result").replaceChildren();
  $("send").textContent = "Stop";
  $("status").textContent = "The model is writing …";
  try {
    const found = await post("/v1/generate", body, working.signal);
    const answer = { output: null, ...found.answers[0] };
    if (answer.error) throw refused(answer.error);
    $("status").textContent = "The answer is below.";
    showAnswer(task, text, answer, found);
  } catch (error) {
    $("status").textContent = "";
    $("error").replaceChildren(problem(error));
  } finally {
    working = null;
    $("send").textContent = "Ask";
  }
}

// ---- the answer

function showAnswer(task, text, answer, { model, version, note: expected }) {
  const isQuiz = task.quiz && Array.isArray(answer.output) && answer.output.every((item) => Array.isArray(item?.options));
  const title = isQuiz ? `Quiz with ${plural(answer.output.length, "question")}` : "Answer";
  const heading = h("h2", { tabIndex: -1 }, title);
  const lacks = Object.entries(answer.missing ?? {}).map(([name, n]) => `${n} ${name}`);
  const notes = [
    `Written by ${model}${version ? `, version ${version}` : ""}. ${task.caveat}`,
    expected ?? "",
    answer.truncated ? "The text was too long: the model did not see its end." : "",
    lacks.length ? `The reader confirmed too few questions; these are missing: ${lacks.join(", ")}.` : "",
  ].filter(Boolean);
  $("result").replaceChildren(heading, ...notes.map((note) => h("p", { className: "soft" }, shown(note))));
  const nearest = supportOf(task, text, answer, isQuiz);
  if (isQuiz) showQuiz(task, answer, nearest);
  else showText(task, answer, nearest);
  heading.focus();
  heading.scrollIntoView({ block: "start" });
}

// Without what supports an answer, the answer is still worth showing.
async function supportOf(task, text, answer, isQuiz) {
  const whole = isQuiz || typeof answer.output !== "string" ? answer.text : answer.output;
  return post("/v1/support", { task: task.name, text, answer: whole }).catch(() => null);
}

async function showText(task, answer, nearest) {
  const card = h("article", { className: "card" });
  $("result").append(card);
  const written = typeof answer.output === "string" ? answer.output : answer.text;
  if (answer.output === null) card.append(h("p", { className: "wrong" }, "This is not of the form that the task asks for. The model wrote:"));
  const body = Array.isArray(answer.output)
    ? h("ul", {}, ...answer.output.map((item) => h("li", {}, shown(typeof item === "string" ? item : JSON.stringify(item)))))
    : h("p", { className: "summary" }, shown(written) || "(nothing)");
  card.append(body, feedbackForm(task, answer, null));
  const parts = (await nearest)?.parts ?? [];
  if (body.tagName !== "P" || parts.every((part) => part.supported)) return;
  body.replaceChildren(...parts.map(({ text, supported }) => (supported ? shown(text) : h("mark", {}, shown(text)))));
  body.after(h("p", { className: "soft" }, "The text has no name, number or date like those marked with [?]. They may be invented."));
}

function showQuiz(task, answer, nearest) {
  const cards = answer.output.map((item, index) => questionCard(item, index));
  const check = h("button", { type: "button" }, "Check my answers");
  check.addEventListener("click", () => {
    check.remove();
    const right = cards.filter((card, index) => reveal(task, answer, index, card, nearest)).length;
    const score = h("p", { className: "verdict", tabIndex: -1 }, `You have ${right} of ${cards.length} right.`);
    cards[0].before(score);
    score.focus();
    score.scrollIntoView({ block: "start" });
  });
  $("result").append(...cards, ...(cards.length ? [check] : []));
}

function questionCard(item, index) {
  const name = `question-${index + 1}`;
  const options = item.options.map((option, at) =>
    h("label", { className: "option" }, h("input", { type: "radio", name, value: LETTERS[at] }), h("span", { className: "letter" }, `${LETTERS[at]}.`), h("span", { className: "text" }, shown(option))),
  );
  const number = h("span", { className: "number soft" }, `Question ${index + 1} · ${shown(item.difficulty)} `);
  return h("article", { className: "card question" }, h("fieldset", {}, h("legend", {}, number, h("h3", {}, shown(item.question))), ...options));
}

// Shows the key of a question, and whether it was chosen.
function reveal(task, answer, index, card, nearest) {
  const { correct } = answer.output[index];
  const chosen = card.querySelector(":checked")?.value ?? null;
  for (const input of card.querySelectorAll("input")) {
    input.disabled = true;
    if (input.value === correct) note(input, "key", input.checked ? "✓ key, your choice" : "✓ key");
    else if (input.checked) note(input, "chosen-wrong", "✗ your choice");
  }
  const right = chosen === correct;
  const said = right ? `Right: the key is ${correct}.` : chosen ? `Not the key: you chose ${chosen}, the key is ${correct}.` : `Not answered: the key is ${correct}.`;
  const outcome = h("div", { className: "outcome" }, h("p", { className: `verdict ${right ? "right" : chosen ? "wrong" : ""}` }, said));
  outcome.append(...marked(answer.marks?.[index]));
  card.append(outcome, feedbackForm(task, answer, index));
  nearest.then((found) => {
    const sentence = found?.sentences[index];
    const what = sentence ? "Nearest to the key in the text:" : found ? "No sentence of the text has a word of the key." : "";
    if (what) outcome.append(h("p", {}, what), ...(sentence ? [h("blockquote", {}, shown(sentence))] : []));
  });
  return right;
}

function note(input, kind, text) {
  input.parentElement.classList.add(kind);
  input.parentElement.append(h("span", { className: "note" }, text));
}

function marked(mark) {
  if (typeof mark !== "number") return [];
  const agrees = mark >= 0.5 ? "agrees with the key" : "doubts the key";
  return [h("p", {}, `The reader, a model that answers the questions from the text, ${agrees}: it gives it a probability of ${Math.round(100 * mark)}%.`)];
}

// ---- feedback

function feedbackForm(task, answer, index) {
  const item = index === null ? null : answer.output[index];
  const about = item ? `question ${index + 1}` : "the answer";
  const name = `verdict-${++fields}`;
  const chips = verdictsFor(task, item, answer).map((verdict) =>
    h("label", {}, h("input", { type: "radio", name, value: verdict, required: true }), h("span", {}, VERDICTS[verdict])),
  );
  const editor = item ? questionEditor(task, item) : textEditor(answer);
  const edit = h("fieldset", { className: "edit", hidden: true, disabled: true }, h("legend", {}, `Correct ${about}`), ...editor.rows);
  const reply = h("div", { role: "alert" });
  const send = h("button", { type: "submit" }, "Send feedback");
  const choice = h("fieldset", {}, h("legend", {}, `How is ${about}?`), h("div", { className: "chips" }, ...chips));
  const form = h("form", { className: "feedback", ariaLabel: `Feedback on ${about}` }, choice, edit, send, reply);
  form.addEventListener("change", (event) => {
    if (event.target.name === name) edit.hidden = edit.disabled = event.target.value !== "corrected";
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.ariaDisabled === "true") return;
    send.ariaDisabled = "true";
    send.textContent = "Sending …";
    reply.replaceChildren();
    try {
      const verdict = form.querySelector(":checked").value;
      const correction = verdict === "corrected" ? { correction: editor.value() } : {};
      const question = item ? { question: index + 1 } : {};
      showKept(form, about, await post("/v1/feedback", { id: answer.id, verdict, ...question, ...correction }));
    } catch (error) {
      reply.replaceChildren(problem(error));
    } finally {
      send.ariaDisabled = "false";
      send.textContent = "Send feedback";
    }
  });
  return form;
}

function verdictsFor(task, item, answer) {
  if (item) return Object.keys(VERDICTS).filter((verdict) => verdict !== "wrong_level" || task.levels.length);
  return answer.output === null || task.quiz ? ["unclear"] : ["good", "unclear", "corrected"];
}

// What the server says that it kept, which may have parts left out.
function showKept(form, about, { verdict, correction }) {
  const words = { good: "is good", wrong_key: "has a wrong key", unclear: "is unclear", wrong_level: "is of another level", corrected: "as you corrected it" }[verdict];
  const kept = h("div", { className: "kept", tabIndex: -1, role: "status" }, h("p", {}, h("strong", {}, `Kept: ${about} ${words}. Thank you.`)));
  if (typeof correction === "string") kept.append(h("p", {}, shown(correction)));
  else if (correction) {
    const options = correction.options.map((option, at) => `${LETTERS[at]}. ${option}`).join(" ");
    kept.append(h("p", {}, shown(`${correction.question} ${options} Key: ${correction.answer}. Level: ${correction.difficulty}.`)));
  }
  form.replaceWith(kept);
  kept.focus();
}

function textEditor(answer) {
  const before = typeof answer.output === "string" ? answer.output : answer.text;
  const area = h("textarea", { rows: 5, required: true, value: before });
  return { rows: [labelled("As it should be", area)], value: () => changed(area.value.trim(), before) };
}

function questionEditor(task, item) {
  const asked = h("textarea", { rows: 2, required: true, value: item.question });
  const options = item.options.map((option) => h("input", { required: true, value: option }));
  const key = selectOf([...LETTERS.slice(0, options.length)], item.correct);
  const level = selectOf(task.levels, item.difficulty);
  const rows = [
    labelled("Question", asked),
    ...options.map((input, at) => labelled(`Option ${LETTERS[at]}`, input)),
    labelled("Key", key),
    ...(task.levels.length ? [labelled("Level", level)] : []),
  ];
  const read = () => ({
    question: asked.value.trim(),
    options: options.map((input) => input.value.trim()),
    answer: key.value,
    difficulty: level.value,
  });
  const before = { question: item.question, options: item.options, answer: item.correct, difficulty: item.difficulty };
  return { rows, value: () => changed(checked(read()), before) };
}

function checked(question) {
  const lower = question.options.map((option) => option.toLowerCase());
  if (new Set(lower).size < lower.length) throw new Problem("Two options are the same.", "Make each option say something else.");
  return question;
}

function changed(now, before) {
  if (now === "" || now?.question === "" || now?.options?.includes("")) throw new Problem("A field is empty.", "Fill it in, and send again.");
  if (JSON.stringify(now) === JSON.stringify(before)) throw new Problem("Nothing was changed.", "Correct what is wrong, or choose Good.");
  return now;
}

$("task").append(...tasks.map((task) => h("option", { value: task.name }, task.quiz ? `${task.name} (a quiz)` : task.name)));
$("task").addEventListener("change", showParameters);
$("request").addEventListener("submit", ask);
showParameters();
