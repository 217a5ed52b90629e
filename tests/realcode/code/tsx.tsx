import * as React from "react";
import { Item } from "./item";

interface Props { items: Item[]; title?: string }

export const List: React.FC<Props> = ({ items, title = "Items" }) => {
  if (items.length === 0) return null;
  return <ul title={title}>{items.map((one) => <li key={one.id}>{one.name}</li>)}</ul>;
};

export class Page extends React.Component<Props> {
  render(): React.ReactNode {
    return <List {...this.props} />;
  }
}
