// Moves tasks by hand: with a pointer, or with the arrow keys. A task can be dropped before, after or into another one, and
// onto a list.

const EDGE = 60; // pixels; near the edges of the window, dragging scrolls

/**
 * @param {HTMLElement} grip the handle of a row
 * @param {HTMLElement} row has the task as `row.task`
 * @param {{siblings: (task: any) => any[], hasSubtasks: (task: any) => boolean, move: (task: any, place: any) => void}} page
 */
export function makeMovable(grip, row, { siblings, hasSubtasks, move }) {
  let start; // where the pointer went down
  let target; // the element that is marked
  let place; // where the task goes if it is dropped now

  function mark(element, kind, next) {
    if (target) delete target.dataset.drop;
    [target, place] = [element, next];
    if (target) target.dataset.drop = kind;
  }

  function end() {
    mark();
    start = undefined;
    row.classList.remove("dragged");
    row.style.translate = "";
  }

  /** Finds what is under the pointer. */
  function aim(x, y) {
    const under = document.elementFromPoint(x, y);
    const list = under?.closest("[data-list]");
    if (list) return mark(list, "into", { list_id: list.dataset.list || null, parent_id: null });
    const other = under?.closest(".row");
    const { uid, parent_id } = other?.task ?? {};
    if (!uid || other.task.completed || (parent_id && hasSubtasks(row.task))) return mark();
    const { top, height } = other.querySelector(".line").getBoundingClientRect();
    const at = (y - top) / height;
    if (at > 0.3 && at < 0.7 && !parent_id && !hasSubtasks(row.task)) return mark(other, "into", { parent_id: uid, after: null });
    return at < 0.5 ? mark(other, "before", { parent_id, before: uid }) : mark(other, "after", { parent_id, after: uid });
  }

  grip.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    grip.setPointerCapture(event.pointerId);
    start = event;
  });
  grip.addEventListener("pointermove", ({ clientX: x, clientY: y }) => {
    if (!start) return;
    row.classList.add("dragged");
    row.style.translate = `${x - start.clientX}px ${y - start.clientY}px`;
    if (y < EDGE || y > innerHeight - EDGE) scrollBy(0, y < EDGE ? -12 : 12);
    aim(x, y);
  });
  grip.addEventListener("pointerup", () => {
    const found = place;
    end();
    if (found) move(row.task, found);
  });
  grip.addEventListener("lostpointercapture", end);

  grip.addEventListener("keydown", (event) => {
    if (event.key === "Escape") return end();
    const { task } = row;
    const all = siblings(task);
    const at = all.findIndex(({ uid }) => uid === task.uid);
    const next = {
      ArrowUp: all[at - 1] && { before: all[at - 1].uid },
      ArrowDown: all[at + 1] && { after: all[at + 1].uid },
      ArrowRight: all[at - 1] && !task.parent_id && !hasSubtasks(task) && { parent_id: all[at - 1].uid, after: null },
      ArrowLeft: task.parent_id && { parent_id: null, after: task.parent_id },
    }[event.key];
    if (event.key.startsWith("Arrow")) event.preventDefault();
    if (next) move(task, next);
  });
}
