"use strict";
// A copy button beside every line that is meant to be copied. Without this script a click selects the line.
for (const line of document.querySelectorAll("pre.copy")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "small";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy " + line.dataset.named);
  const told = document.createElement("span");
  told.className = "unseen";
  told.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(line.textContent);
    } catch {
      // Plain http beyond loopback has no clipboard.
      getSelection().selectAllChildren(line);
      copied = document.execCommand("copy");
    }
    button.textContent = copied ? "Copied" : "Selected";
    told.textContent = copied ? "Copied" : "Selected: copy it with your keyboard";
  });
  const row = document.createElement("div");
  row.className = "copying";
  line.replaceWith(row);
  row.append(line, button, told);
}
