// What lies over the whole page on a phone: as long as it does, nothing behind it can be reached.

const narrow = matchMedia("(max-width: 860px)");

/** Put elements out of reach of keys, pointers and screen readers, on a narrow screen. Returns what ends that. */
export function cover(...behind) {
  const hold = () => behind.forEach((each) => (each.inert = narrow.matches));
  hold();
  narrow.addEventListener("change", hold);
  return () => {
    narrow.removeEventListener("change", hold);
    behind.forEach((each) => (each.inert = false));
  };
}
