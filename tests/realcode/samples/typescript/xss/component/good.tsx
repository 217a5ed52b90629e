import DOMPurify from 'dompurify';
import React from 'react';

interface Props {
  title: string;
  html: string;
}

export const Card: React.FC<Props> = ({ title, html }) => {
  const clean = DOMPurify.sanitize(html);
  return (
    <div className="card">
      <h3>{title}</h3>
      <div dangerouslySetInnerHTML={{ __html: clean }}></div>
    </div>
  );
};
