// A message to the reader at the foot of the window, announced to screen readers.

const [words, button] = document.querySelector(".notice").children;

export function tell(text) {
  if (words.textContent !== text) words.textContent = text;
  button.hidden = !text;
}

button.onclick = () => tell("");
