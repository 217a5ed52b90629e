import { useEffect, useState } from 'react';

export function Article({ id }) {
  const [article, setArticle] = useState(null);
  useEffect(() => {
    fetch(`/api/articles/${id}`).then((answer) => answer.json()).then(setArticle);
  }, [id]);
  if (!article) return null;
  return <section dangerouslySetInnerHTML={{ __html: article.body }} />;
}
