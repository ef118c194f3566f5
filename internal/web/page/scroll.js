// Scrolling through a list that is higher than browsers let an element be: they clamp it at 33.5 million pixels,
// Firefox at 17.9 million.

const tallest = 10e6; // pixels of an element
const edge = 1e6; // pixels at each end of a list that are scrolled as they are, so that the end is an end

// scale returns how a list of so many pixels is scrolled. Its element has {height} pixels; {extra} are missing. toPlace
// returns the place in the list for a place of the scroll bar, which goes up to most; toBar is its inverse.
export function scale(whole) {
  const height = Math.min(whole, tallest),
    extra = whole - height;
  const factor = (most) => (most + extra - 2 * edge) / (most - 2 * edge);
  return {
    height,
    extra,
    toPlace(bar, most) {
      if (!extra || bar <= edge) return bar;
      return bar >= most - edge ? bar + extra : edge + (bar - edge) * factor(most);
    },
    toBar(place, most) {
      if (!extra || place <= edge) return place;
      return place >= most + extra - edge ? place - extra : edge + (place - edge) / factor(most);
    },
  };
}

// Scroller knows which place of a list is on top of the box that shows it. What moves the bar by a little, such as a
// wheel, moves the list by as many pixels; what moves it farther goes to another part of the list.
export class Scroller {
  constructor(box) {
    Object.assign(this, { box, scale: scale(0), bar: 0, place: 0 });
  }

  get most() {
    return this.box.scrollHeight - this.box.clientHeight;
  }

  // scrolled takes the bar from where somebody has moved it.
  scrolled() {
    const bar = this.box.scrollTop,
      moved = bar - this.bar;
    const near = this.scale.extra && Math.abs(moved) <= 2 * this.box.clientHeight;
    this.place = near ? this.bounded(this.place + moved) : this.scale.toPlace(bar, this.most);
    this.bar = bar;
    if (this.scale.extra && (bar < edge || bar > this.most - edge)) this.align();
  }

  // goTo shows another place.
  goTo(place) {
    this.place = this.bounded(place);
    this.align();
  }

  // rested puts the bar right. It may have been moved in this moment, before its event.
  rested() {
    this.scrolled();
    this.align();
  }

  // sized is told that the list has another height.
  sized(whole) {
    this.scrolled();
    this.scale = scale(whole);
    if (this.scale.extra) this.goTo(this.place);
  }

  // align has the bar say where in the list the place is.
  align() {
    const bar = this.scale.toBar(this.place, this.most);
    if (Math.abs(bar - this.box.scrollTop) >= 1) this.box.scrollTop = bar;
    this.bar = this.box.scrollTop;
  }

  bounded(place) {
    return Math.max(0, Math.min(place, this.most + this.scale.extra));
  }
}
