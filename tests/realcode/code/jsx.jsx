import React, { useState } from "react";

/** One order. */
export function Order({ items, onPay }) {
  const [open, setOpen] = useState(false);
  const toggle = () => setOpen(!open);
  return (
    <div className="order" onClick={toggle}>
      {/* the lines */}
      {open && items.map((one) => <Line key={one.id} {...one} />)}
    </div>
  );
}

class Line extends React.Component {
  render() {
    return <>{this.props.name}</>;
  }
}

export default Order;
