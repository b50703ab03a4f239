// The editor of the SQL page: Ctrl+Enter, completion from the schema beside it, and copying.
"use strict";
(() => {
  const editor = document.getElementById("q");
  const list = document.getElementById("completions");
  if (!editor || !list) return;
  const KEYWORDS = "SELECT FROM WHERE GROUP BY ORDER LIMIT JOIN USING HAVING INTERVAL DESC DISTINCT COUNT BETWEEN WITH EXPLAIN NULLS LAST".split(" ");
  const words = [...new Set([...document.querySelectorAll("[data-word]")].map((el) => el.dataset.word).concat(KEYWORDS))];
  const MOST = 8;
  let chosen = 0;

  const prefix = () => editor.value.slice(0, editor.selectionStart).match(/[A-Za-z_]\w*$/)?.[0] ?? "";
  const close = () => { list.hidden = true; list.replaceChildren(); };

  function complete(word) {
    const end = editor.selectionStart;
    editor.setRangeText(word, end - prefix().length, end, "end");
    close();
    editor.focus();
  }
  function choose(index) {
    chosen = (index + list.children.length) % list.children.length;
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
  }
  function suggest() {
    const typed = prefix().toLowerCase();
    const found = typed.length < 2 ? [] : words.filter((word) => word.toLowerCase().startsWith(typed) && word.toLowerCase() !== typed);
    close();
    if (!found.length) return;
    for (const word of found.slice(0, MOST)) {
      const item = document.createElement("li");
      item.setAttribute("role", "option");
      item.textContent = word;
      item.addEventListener("mousedown", (event) => { event.preventDefault(); complete(word); });
      list.append(item);
    }
    list.hidden = false;
    choose(0);
  }

  editor.addEventListener("input", suggest);
  editor.addEventListener("blur", close);
  editor.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      close();
      editor.form.requestSubmit();
    } else if (list.hidden) {
      return;
    } else if (event.key === "Tab") {
      event.preventDefault();
      complete(list.children[chosen].textContent);
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      choose(chosen + (event.key === "ArrowDown" ? 1 : -1));
    } else if (event.key === "Escape") {
      close();
    }
  });

  function addCopyButtons() {
    if (!navigator.clipboard) return;
    for (const snippet of document.querySelectorAll(".snippet:not([data-copy])")) {
      snippet.dataset.copy = "";
      const button = document.createElement("button");
      button.className = "quiet copy";
      button.textContent = "copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(snippet.querySelector("code").textContent);
        button.textContent = "copied";
      });
      snippet.before(button);
    }
  }
  addCopyButtons();
  document.body.addEventListener("htmx:afterSwap", addCopyButtons);
})();
