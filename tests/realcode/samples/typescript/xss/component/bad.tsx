import React from 'react';

interface Props {
  title: string;
  html: string;
}

export const Card: React.FC<Props> = ({ title, html }) => (
  <div className="card">
    <h3>{title}</h3>
    <div dangerouslySetInnerHTML={{ __html: html }}></div>
  </div>
);
