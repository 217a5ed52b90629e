import Stripe from 'stripe';

export const stripe = new Stripe('{{stripe}}', { apiVersion: '2024-06-20' });
