// The conversations, kept in the browser, and the question that is under way.

import { api, Problem } from "./api.js";
import { events } from "./events.js";
import { keep, kept } from "./storage.js";

const MOST = 50;
const TURNS_SENT = 6;

/**
 * Conversations `{id, title, changed, turns}`, newest first. A turn is `{query, filters, state, text, answer, problem}`;
 * its state is `asking`, `done`, `stopped` or `failed`.
 *
 * Tells `list` (the list, or which one is open, has changed) and `turn` (with the turn that has changed).
 */
export class Conversations extends EventTarget {
  constructor(name) {
    super();
    this.key = `conversations.${name}`;
    this.all = kept(this.key, []);
    this.open = null;
    this.running = null;
    addEventListener("storage", ({ key }) => key === `confrag.${this.key}` && this.adopt());
    for (const turn of this.all.flatMap((each) => each.turns)) if (turn.state === "asking") turn.state = "stopped";
  }

  /** The answer that was given last, of whatever conversation: the graph shows its timings. */
  get lastAnswer() {
    const turns = (this.open ? [this.open, ...this.all] : this.all).flatMap((each) => [...each.turns].reverse());
    return this.latest ?? turns.find((turn) => turn.answer)?.answer ?? null;
  }

  /** Open a conversation; null: a new one, which is kept once something is asked in it. */
  show(id) {
    this.open = this.all.find((each) => each.id === id) ?? null;
    this.tell("list");
  }

  rename(conversation, title) {
    conversation.title = title;
    this.save();
  }

  remove(conversation) {
    if (this.running && conversation.turns.includes(this.running.turn)) this.stop();
    this.all = this.all.filter((each) => each !== conversation);
    if (this.open === conversation) this.open = null;
    this.save();
  }

  clear() {
    this.stop();
    this.all = [];
    this.open = null;
    this.save();
  }

  /** Ask in the open conversation, or in a new one. */
  async ask(query, filters = {}) {
    if (this.running) return;
    if (!this.open) {
      this.open = { id: crypto.getRandomValues(new Uint32Array(2)).join("-"), title: query.slice(0, 80), turns: [] };
      this.all.unshift(this.open);
    }
    const turn = { query, filters, state: "asking", text: "" };
    const before = this.open.turns.filter((each) => each.state === "done").slice(-TURNS_SENT);
    this.open.turns.push(turn);
    this.open.changed = Date.now();
    this.all = [this.open, ...this.all.filter((each) => each !== this.open)].slice(0, MOST);
    this.save();
    await this.answer(turn, before.flatMap(said));
  }

  /** Ask the last question once more. */
  async retry() {
    const turn = this.open?.turns.pop();
    if (turn) await this.ask(turn.query, turn.filters);
  }

  stop() {
    this.running?.controller.abort();
  }

  async answer(turn, history) {
    this.running = { turn, controller: new AbortController() };
    const { signal } = this.running.controller;
    this.tell("turn", turn);
    try {
      const filters = Object.keys(turn.filters).length ? turn.filters : undefined;
      const response = await api.ask({ query: turn.query, filters, history }, signal);
      for await (const { event, data } of events(response)) {
        if (event === "piece") turn.text += data.text;
        if (event === "answer") Object.assign(turn, { state: "done", text: data.answer, answer: data });
        if (event === "error") throw new Problem(data, data.retry_after ?? null);
        this.tell("turn", turn);
      }
      if (turn.state === "asking") throw new Problem({});
      this.latest = turn.answer;
    } catch (error) {
      turn.state = signal.aborted ? "stopped" : "failed";
      if (!signal.aborted && !(error instanceof Problem)) console.error(error);
      if (!signal.aborted) turn.problem = { ...new Problem({}), ...error, detail: error.message };
    } finally {
      this.running = null;
      this.save();
      this.tell("turn", turn);
    }
  }

  /** Another tab has changed them: what it has kept holds, but for the one that is open here. */
  adopt() {
    this.all = kept(this.key, []).map((each) => (each.id === this.open?.id ? this.open : each));
    this.tell("list");
  }

  /** Keep them; where there is no room, the oldest go. */
  save() {
    while (!keep(this.key, this.all) && this.all.length > 1) this.all.pop();
    this.tell("list");
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function said(turn) {
  return [
    { role: "user", content: turn.query },
    { role: "assistant", content: turn.text },
  ];
}
