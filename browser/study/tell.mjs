// A message to the reader at the foot of the window, announced to screen readers.

let place;

export function tell(text) {
  if (!place) {
    place = document.createElement("p");
    place.className = "notice";
    place.setAttribute("role", "status");
    document.body.append(place);
  }
  if (place.textContent !== text) place.textContent = text;
}
