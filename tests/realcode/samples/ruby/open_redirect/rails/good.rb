class SessionsController < ApplicationController
  PAGES = { 'orders' => '/orders', 'profile' => '/profile' }.freeze

  def create
    session[:user] = User.authenticate(params[:name], params[:password])&.id
    redirect_to(PAGES.fetch(params[:next], '/'))
  end
end
